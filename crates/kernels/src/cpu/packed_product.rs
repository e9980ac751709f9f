//! The dense product of tall, skinny operands, YᵀX, on vectors. X is decoded from its storage type while it is packed.
//!
//! It works as in Goto and van de Geijn 2008. Tokens are taken in blocks, X is packed into strips of neurons and Y into
//! tiles of features. A micro-kernel runs over the tokens of a block, and keeps the sums of a strip and a tile in
//! registers meanwhile. What is packed are words, which hold a number of one token, or rounded numbers of two
//! (`words.rs`).

use std::ops::Range;

use faer::MatMut;
use pulp::Simd;
use rayon::prelude::*;

use super::operands::{AHEAD, Operands};
use super::shares::{add, contiguous, for_each_share};
use super::words::{Arithmetic, Processor, Task};
use super::{prefetch, splat, with_scratch};
use crate::ElementType;

/// Words of a block for each neuron. A strip of X stays in the first-level cache while the tiles of Y pass by.
const BLOCK_WORDS: usize = 256;
/// Words for which Y is packed at once.
const PACKED_WORDS: usize = 16 * BLOCK_WORDS;
/// Vectors of neurons in a strip.
const STRIP_VECTORS: usize = 2;
/// Neurons of the widest strip. Shares of neurons are multiples of it.
const WIDEST_STRIP: usize = STRIP_VECTORS * 16;
/// Most neurons that a thread packs at once.
const SHARE_NEURONS: usize = 256;
/// Words that a thread holds at once: a block of its neurons and their sums. They take most of a second-level cache of
/// 512 KiB.
const SHARE_WORDS: usize = 96 << 10;
/// Columns of the result that are fetched ahead. A share of a column is too short for the processor to do this by itself.
const COLUMNS_AHEAD: usize = 8;
/// Features of the widest tile.
const WIDEST_TILE: usize = 12;

/// out (+)= scale · XᵀY, as [`super::dense_product`].
pub(super) fn packed_product(
    processor: Processor,
    operands: &Operands<'_>,
    mut out: MatMut<'_, f32>,
    accumulate: bool,
) {
    let widest = processor.run(WidestTile);
    let at_once = PACKED_WORDS * processor.tokens();
    for first in (0..operands.rows).step_by(at_once) {
        let tokens = at_once.min(operands.rows - first);
        let rows = &operands.coefficients[first * operands.stride..];
        with_scratch(tokens.div_ceil(processor.tokens()) * operands.rank, |words| {
            let product = Product {
                operands,
                coefficients: &PackedCoefficients::new(processor, rows, operands, tokens, widest, words),
                first_row: operands.first_row + first,
                accumulate: accumulate || first > 0,
            };
            let most = SHARE_WORDS / (BLOCK_WORDS + operands.rank) / WIDEST_STRIP * WIDEST_STRIP;
            let most = most.clamp(WIDEST_STRIP, SHARE_NEURONS);
            for_each_share(out.as_mut(), most, WIDEST_STRIP, &|neuron, out| product.share(processor, neuron, out));
        });
    }
}

/// Y packed for the micro-kernel, which all threads share. It is one block of tokens after the other, within a block
/// one tile of features after the other, and within a tile one word of each feature after the other.
struct PackedCoefficients<'a> {
    words: &'a [f32],
    tokens: usize,
    rank: usize,
    /// Width of each tile, in order.
    tiles: Vec<usize>,
}

impl<'a> PackedCoefficients<'a> {
    /// Packs the first `tokens` of the rows into `words`.
    fn new(
        processor: Processor,
        rows: &[f32],
        operands: &Operands<'_>,
        tokens: usize,
        widest: usize,
        words: &'a mut [f32],
    ) -> Self {
        let (rank, stride) = (operands.rank, operands.stride);
        let count = rank.div_ceil(widest);
        // Tiles have nearly equal widths, because a narrow last one would use the registers badly.
        let tiles: Vec<usize> = (0..count).map(|t| (t + 1) * rank / count - t * rank / count).collect();
        let block = BLOCK_WORDS * processor.tokens();
        // The last row may end before the next one would begin, and rows behind the last token are not packed.
        let rows = &rows[..rows.len().min(tokens * stride)];
        words.par_chunks_mut(BLOCK_WORDS * rank).zip(rows.par_chunks(block * stride)).for_each(|(packed, rows)| {
            processor.run(PackTiles { tiles: &tiles, rank, rows, stride, packed });
        });
        PackedCoefficients { words, tokens, rank, tiles }
    }
}

/// Packs a block of Y.
struct PackTiles<'a> {
    tiles: &'a [usize],
    rank: usize,
    rows: &'a [f32],
    stride: usize,
    packed: &'a mut [f32],
}

impl Task for PackTiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, A: Arithmetic<S>>(self, _: S, arithmetic: A) {
        let words = self.packed.len() / self.rank;
        let mut first = 0;
        for &tile in self.tiles {
            let packed = &mut self.packed[first * words..][..tile * words];
            for (packed, rows) in packed.chunks_exact_mut(tile).zip(self.rows.chunks(A::TOKENS * self.stride)) {
                let second = rows.get(self.stride + first..self.stride + first + tile).unwrap_or_default();
                let tokens = [&rows[first..first + tile], second].map(bytemuck::cast_slice);
                arithmetic.decode(ElementType::F32, tokens, packed);
            }
            first += tile;
        }
    }
}

/// The product of the tokens for which Y is packed with all neurons.
struct Product<'a> {
    operands: &'a Operands<'a>,
    coefficients: &'a PackedCoefficients<'a>,
    first_row: usize,
    accumulate: bool,
}

impl Product<'_> {
    /// out (+)= the product for some neurons, from `neuron` on.
    fn share(&self, processor: Processor, neuron: usize, mut out: MatMut<'_, f32>) {
        let (rank, width) = (self.operands.rank, out.nrows());
        let padded = width.next_multiple_of(WIDEST_STRIP);
        with_scratch((1 + BLOCK_WORDS + rank) * padded, |scratch| {
            let (row, scratch) = scratch.split_at_mut(padded);
            let (packed, sums) = scratch.split_at_mut(BLOCK_WORDS * padded);
            // A symmetric product leaves some sums out.
            sums.fill(0.0);
            processor.run(Share { product: self, neuron, width, padded, row, packed, sums });
            for (feature, sums) in sums.chunks_exact(padded).enumerate() {
                if feature + COLUMNS_AHEAD < rank {
                    prefetch(bytemuck::cast_slice(contiguous(out.as_mut().col_mut(feature + COLUMNS_AHEAD))));
                }
                add(contiguous(out.as_mut().col_mut(feature)), sums, self.operands.scale, self.accumulate);
            }
        });
    }
}

/// The widest tile of features whose sums fit in the registers, together with a strip of X and one factor of Y.
struct WidestTile;

impl Task for WidestTile {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd, A: Arithmetic<S>>(self, _: S, _: A) -> usize {
        ((S::REGISTER_COUNT - STRIP_VECTORS - 1) / STRIP_VECTORS).clamp(1, WIDEST_TILE)
    }
}

/// One thread's neurons.
struct Share<'a, 'b> {
    product: &'a Product<'b>,
    neuron: usize,
    width: usize,
    /// The neurons and their padding.
    padded: usize,
    /// The words of some tokens and all neurons.
    row: &'a mut [f32],
    packed: &'a mut [f32],
    /// The sums over the tokens so far. Each feature has those of the neurons and their padding. They are close
    /// together: rows of the result are often a multiple of a page apart, and would push one another out of the caches.
    sums: &'a mut [f32],
}

impl Task for Share<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, A: Arithmetic<S>>(mut self, simd: S, arithmetic: A) {
        let &PackedCoefficients { words, tokens, rank, .. } = self.product.coefficients;
        let block_tokens = BLOCK_WORDS * A::TOKENS;
        let tokens_of = |block| block * block_tokens..tokens.min((block + 1) * block_tokens);
        for (block, words) in words.chunks(BLOCK_WORDS * rank).enumerate() {
            self.pack(simd, arithmetic, tokens_of(block));
            self.multiply(simd, arithmetic, words, words.len() / rank, block > 0, tokens_of(block + 1));
        }
    }
}

impl Share<'_, '_> {
    /// Decodes a block of tokens into strips. In each strip, one word of each neuron follows the other.
    #[inline(always)]
    fn pack<S: Simd, A: Arithmetic<S>>(&mut self, _: S, arithmetic: A, tokens: Range<usize>) {
        let strip = STRIP_VECTORS * S::F32_LANES;
        let (width, padded) = (self.width, self.width.next_multiple_of(strip));
        let words = tokens.len().div_ceil(A::TOKENS);
        self.row[width..].fill(0.0);
        let Product { operands, first_row, .. } = self.product;
        let (activations, end) = (operands.activations, operands.first_row + operands.rows);
        for word in 0..words {
            let elements = std::array::from_fn(|place| {
                let token = tokens.start + word * A::TOKENS + place;
                if place >= A::TOKENS || token >= tokens.end {
                    return &[][..];
                }
                let row = first_row + token;
                // Later blocks were fetched while the block before was multiplied.
                if tokens.start == 0 && row + AHEAD < end {
                    prefetch(activations.bytes(row + AHEAD, self.neuron, width));
                }
                activations.bytes(row, self.neuron, width)
            });
            arithmetic.decode(activations.element(), elements, &mut self.row[..width]);
            for (index, row) in self.row[..padded].chunks_exact(strip).enumerate() {
                self.packed[(index * words + word) * strip..][..strip].copy_from_slice(row);
            }
        }
    }

    /// Multiplies a block of tokens, and meanwhile fetches the activations of the tokens `ahead`.
    #[inline(always)]
    fn multiply<S: Simd, A: Arithmetic<S>>(
        &mut self,
        simd: S,
        arithmetic: A,
        coefficients: &[f32],
        words: usize,
        accumulate: bool,
        mut ahead: Range<usize>,
    ) {
        let strip = STRIP_VECTORS * S::F32_LANES;
        let (padded, strips) = (self.padded, self.width.div_ceil(strip));
        let Product { operands, first_row, .. } = self.product;
        // A few tokens with each tile, because a processor waits for few cache lines at a time.
        let at_once = ahead.len().div_ceil(strips * self.product.coefficients.tiles.len());
        for (index, packed) in self.packed.chunks_exact(words * strip).take(strips).enumerate() {
            let (packed, _) = S::as_simd_f32s(packed);
            let first = index * strip;
            let (mut feature, mut rest) = (0, coefficients);
            for &tile in &self.product.coefficients.tiles {
                let (y, others) = rest.split_at(words * tile);
                for token in ahead.by_ref().take(at_once) {
                    prefetch(operands.activations.bytes(first_row + token, self.neuron, self.width));
                }
                if operands.symmetric && feature + tile <= self.neuron + first {
                    (feature, rest) = (feature + tile, others);
                    continue;
                }
                let out = &mut Sums { values: &mut self.sums[feature * padded..][..tile * padded], padded, first };
                macro_rules! tile_products {
                    ($($width:literal)*) => {
                        match tile {
                            $($width => tile_product::<S, A, $width>(simd, arithmetic, packed, y, out, accumulate),)*
                            _ => unreachable!("no tile is wider than {WIDEST_TILE}"),
                        }
                    };
                }
                tile_products!(1 2 3 4 5 6 7 8 9 10 11 12);
                (feature, rest) = (feature + tile, others);
            }
        }
    }
}

/// Where the sums of the micro-kernel go.
struct Sums<'a> {
    /// The sums of a tile's features.
    values: &'a mut [f32],
    padded: usize,
    /// The strip's first neuron.
    first: usize,
}

/// The micro-kernel: multiplies a strip of X by a tile of Y that is `TILE` features wide.
#[inline(always)]
fn tile_product<S: Simd, A: Arithmetic<S>, const TILE: usize>(
    simd: S,
    arithmetic: A,
    strip: &[S::f32s],
    tile: &[f32],
    out: &mut Sums<'_>,
    accumulate: bool,
) {
    let mut sums = [[simd.splat_f32s(0.0); STRIP_VECTORS]; TILE];
    let (strip, _) = strip.as_chunks::<STRIP_VECTORS>();
    let (tile, _) = tile.as_chunks::<TILE>();
    for (x, y) in strip.iter().zip(tile) {
        for (feature, sums) in sums.iter_mut().enumerate() {
            let y = splat(simd, y, feature);
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum = arithmetic.multiply_add(simd, x, y, *sum);
            }
        }
    }
    for (row, sums) in out.values.chunks_exact_mut(out.padded).zip(&sums) {
        let (vectors, _) = S::as_mut_simd_f32s(&mut row[out.first..][..STRIP_VECTORS * S::F32_LANES]);
        for (out, &sum) in vectors.iter_mut().zip(sums) {
            *out = if accumulate { simd.add_f32s(*out, sum) } else { sum };
        }
    }
}
