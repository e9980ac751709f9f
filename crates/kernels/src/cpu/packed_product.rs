//! The dense product of tall, skinny operands, YᵀX, on vectors. X is decoded from its storage type while it is packed.
//!
//! It works as in Goto and van de Geijn 2008. Tokens are taken in blocks, X is packed into strips of neurons and Y into
//! tiles of features. A micro-kernel runs over the tokens of a block, and keeps the sums of a strip and a tile in
//! registers meanwhile. What is packed are words, which hold one number or two rounded ones (`words.rs`).

use std::ops::Range;

use faer::MatMut;
use pulp::Simd;

use super::feature_tiles::{WIDEST_TILE, widest_tile, with_tile_width};
use super::operands::{AHEAD, Operands};
use super::packed_coefficients::PackedCoefficients;
use super::scaling::{Scaling, for_activations, raise_magnitudes};
use super::shares::{add, contiguous, for_each_share};
use super::words::{Arithmetic, Processor, Shape, Task};
use super::{LANES, prefetch, splat, with_scratch};

/// Words for which Y is packed at once: whole blocks.
const PACKED_WORDS: usize = 4096;
/// Vectors of neurons in a strip.
const STRIP_VECTORS: usize = 2;
/// Words of the widest strip. Shares of neurons are multiples of it.
const WIDEST_STRIP: usize = STRIP_VECTORS * LANES;
/// Most neurons that a thread packs at once.
const SHARE_NEURONS: usize = 256;
/// Words that a thread holds at once: a block of its neurons and their sums. They take most of a second-level cache of
/// 512 KiB.
const SHARE_WORDS: usize = 96 << 10;
/// Columns of the result that are fetched ahead. A share of a column is too short for the processor to do this by itself.
const COLUMNS_AHEAD: usize = 8;

/// out (+)= scale · XᵀY, as [`super::dense_product`].
pub(super) fn packed_product(
    processor: Processor,
    operands: &Operands<'_>,
    mut out: MatMut<'_, f32>,
    accumulate: bool,
) {
    let (shape, widest) = (processor.shape(), processor.run(WidestTile));
    let at_once = PACKED_WORDS * shape.tokens;
    for first in (0..operands.rows).step_by(at_once) {
        let tokens = at_once.min(operands.rows - first);
        let rows = &operands.coefficients[first * operands.stride..];
        with_scratch(tokens.div_ceil(shape.tokens) * operands.rank, |words| {
            let product = Product {
                operands,
                coefficients: &PackedCoefficients::new(processor, rows, operands, tokens, widest, words),
                shape,
                first_row: operands.first_row + first,
                accumulate: accumulate || first > 0,
            };
            let strip = WIDEST_STRIP * shape.neurons;
            let most = SHARE_WORDS / (shape.block / shape.neurons + operands.rank) / strip * strip;
            let most = most.clamp(strip, SHARE_NEURONS);
            for_each_share(out.as_mut(), most, strip, &|neuron, out| product.share(processor, neuron, out));
        });
    }
}

/// The product of the tokens for which Y is packed with all neurons.
struct Product<'a> {
    operands: &'a Operands<'a>,
    coefficients: &'a PackedCoefficients<'a>,
    shape: Shape,
    first_row: usize,
    accumulate: bool,
}

impl Product<'_> {
    /// The activations of a token. If they were not fetched, those of a later token are.
    #[inline(always)]
    fn token(&self, token: usize, neurons: Range<usize>, is_fetched: bool) -> &[u8] {
        let Operands { activations, first_row, rows, .. } = self.operands;
        let row = self.first_row + token;
        if !is_fetched && row + AHEAD < first_row + rows {
            prefetch(activations.bytes(row + AHEAD, neurons.start, neurons.len()));
        }
        activations.bytes(row, neurons.start, neurons.len())
    }

    /// out (+)= the product for some neurons, from `neuron` on.
    fn share(&self, processor: Processor, neuron: usize, mut out: MatMut<'_, f32>) {
        let (rank, width) = (self.operands.rank, out.nrows());
        let padded = width.next_multiple_of(WIDEST_STRIP * self.shape.neurons);
        let words = padded / self.shape.neurons;
        with_scratch((3 + rank) * padded + self.shape.block * words + WIDEST_TILE * WIDEST_STRIP, |scratch| {
            let (row, scratch) = scratch.split_at_mut(padded);
            let (factors, scratch) = scratch.split_at_mut(padded);
            let (undo, scratch) = scratch.split_at_mut(padded);
            let (totals, scratch) = scratch.split_at_mut(WIDEST_TILE * WIDEST_STRIP);
            let (packed, sums) = scratch.split_at_mut(self.shape.block * words);
            sums.fill(0.0);
            processor.run(Share {
                product: self,
                neurons: neuron..neuron + width,
                padded,
                row,
                factors,
                undo,
                totals,
                packed,
                sums,
            });
            for (feature, sums) in sums.chunks_exact(padded).enumerate() {
                if feature + COLUMNS_AHEAD < rank {
                    prefetch(bytemuck::cast_slice(contiguous(out.as_mut().col_mut(feature + COLUMNS_AHEAD))));
                }
                let undo = self.coefficients.scalings.as_ref().map_or(1.0, |scalings| scalings[feature].undo);
                let scales = [undo, self.operands.scale];
                add(contiguous(out.as_mut().col_mut(feature)), sums, scales, self.accumulate);
            }
        });
    }
}

/// The widest tile.
struct WidestTile;

impl Task for WidestTile {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd, A: Arithmetic<S>>(self, _: S, _: A) -> usize {
        widest_tile::<S>(STRIP_VECTORS)
    }
}

/// One thread's neurons.
struct Share<'a, 'b> {
    product: &'a Product<'b>,
    neurons: Range<usize>,
    /// The number of neurons with their padding.
    padded: usize,
    /// The words of some tokens and all neurons.
    row: &'a mut [f32],
    /// Factors of the neurons in a block, and what undoes them, if words do not have the range of f32.
    factors: &'a mut [f32],
    undo: &'a mut [f32],
    /// Room for the sums of a tile's runs.
    totals: &'a mut [f32],
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
        let block_tokens = A::BLOCK * A::TOKENS;
        let tokens_of = |block| block * block_tokens..tokens.min((block + 1) * block_tokens);
        for (block, words) in words.chunks(A::BLOCK * rank).enumerate() {
            self.pack(simd, arithmetic, tokens_of(block));
            self.multiply(simd, arithmetic, words, words.len() / rank, tokens_of(block + 1));
        }
    }
}

impl Share<'_, '_> {
    /// Finds the factor of each neuron that brings a block of its activations below 2^`top`.
    #[inline(always)]
    fn scale(&mut self, top: i32, tokens: Range<usize>) {
        let element = self.product.operands.activations.element();
        self.row.fill(0.0);
        let largest: &mut [u32] = bytemuck::cast_slice_mut(self.row);
        for token in tokens.clone() {
            raise_magnitudes(element, self.product.token(token, self.neurons.clone(), tokens.start > 0), largest);
        }
        let width = self.neurons.len();
        let factors = &mut self.factors[..width];
        element.decode(&bytemuck::cast_slice(largest)[..width * element.bytes()], factors);
        for (factor, undo) in factors.iter_mut().zip(&mut *self.undo) {
            Scaling { factor: *factor, undo: *undo } = for_activations(*factor, top);
        }
    }

    /// Decodes a block of tokens into strips. In each strip, one word of each neuron follows the other.
    #[inline(always)]
    fn pack<S: Simd, A: Arithmetic<S>>(&mut self, _: S, arithmetic: A, tokens: Range<usize>) {
        let strip = STRIP_VECTORS * S::F32_LANES;
        let width = self.neurons.len().div_ceil(A::NEURONS);
        let padded = width.next_multiple_of(strip);
        let words = tokens.len().div_ceil(A::TOKENS);
        if let Some(top) = A::TOP {
            self.scale(top, tokens.clone());
        }
        self.row[width..].fill(0.0);
        let element = self.product.operands.activations.element();
        let is_fetched = tokens.start > 0 || A::TOP.is_some();
        for word in 0..words {
            let elements = std::array::from_fn(|place| {
                let token = tokens.start + word * A::TOKENS + place;
                if place >= A::TOKENS || token >= tokens.end {
                    return &[][..];
                }
                self.product.token(token, self.neurons.clone(), is_fetched)
            });
            arithmetic.activations(element, elements, self.factors, &mut self.row[..width]);
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
        mut ahead: Range<usize>,
    ) {
        let strip = STRIP_VECTORS * S::F32_LANES;
        let neurons = strip * A::NEURONS;
        let (padded, strips) = (self.padded, self.neurons.len().div_ceil(neurons));
        // A few tokens with each tile, because a processor waits for few cache lines at a time.
        let at_once = ahead.len().div_ceil(strips * self.product.coefficients.tiles.len());
        for (index, packed) in self.packed.chunks_exact(words * strip).take(strips).enumerate() {
            let (packed, _) = S::as_simd_f32s(packed);
            let first = index * neurons;
            let undo = &self.undo[first..][..neurons];
            for tile in &self.product.coefficients.tiles {
                let y = &coefficients[words * tile.start..words * tile.end];
                for token in ahead.by_ref().take(at_once) {
                    prefetch(self.product.token(token, self.neurons.clone(), true));
                }
                if self.product.operands.symmetric && tile.end <= self.neurons.start + first {
                    continue;
                }
                let values = &mut self.sums[tile.start * padded..tile.end * padded];
                let out = &mut Sums { values, padded, first, undo, totals: self.totals };
                with_tile_width!(tile.len(), TILE => tile_product::<S, A, TILE>(simd, arithmetic, packed, y, out));
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
    /// What undoes the factors of the strip's neurons.
    undo: &'a [f32],
    /// Room for the sums of a tile's runs.
    totals: &'a mut [f32],
}

/// The micro-kernel: multiplies a strip of X by a tile of Y that is `TILE` features wide.
#[inline(always)]
fn tile_product<S: Simd, A: Arithmetic<S>, const TILE: usize>(
    simd: S,
    arithmetic: A,
    strip: &[S::f32s],
    tile: &[f32],
    out: &mut Sums<'_>,
) {
    let (strip, _) = strip.as_chunks::<STRIP_VECTORS>();
    let (tile, _) = tile.as_chunks::<TILE>();
    let (totals, _) = S::as_mut_simd_f32s(out.totals);
    let totals = &mut totals[..STRIP_VECTORS * TILE];
    for (run, (strip, tile)) in strip.chunks(A::RUN).zip(tile.chunks(A::RUN)).enumerate() {
        let mut sums = [[simd.splat_f32s(0.0); STRIP_VECTORS]; TILE];
        for (x, y) in strip.iter().zip(tile) {
            for (feature, sums) in sums.iter_mut().enumerate() {
                let y = splat(simd, y, feature);
                for (sum, &x) in sums.iter_mut().zip(x) {
                    *sum = arithmetic.multiply_add(simd, x, y, *sum);
                }
            }
        }
        for (total, &sum) in totals.iter_mut().zip(sums.as_flattened()) {
            *total = if run > 0 { arithmetic.add(simd, *total, sum) } else { sum };
        }
    }
    let width = S::F32_LANES * A::NEURONS;
    for (feature, totals) in totals.as_chunks::<STRIP_VECTORS>().0.iter().enumerate() {
        let row = &mut out.values[feature * out.padded + out.first..][..STRIP_VECTORS * width];
        for (vector, &sums) in totals.iter().enumerate() {
            let neurons = vector * width..(vector + 1) * width;
            arithmetic.add_to(simd, sums, &out.undo[neurons.clone()], &mut row[neurons]);
        }
    }
}
