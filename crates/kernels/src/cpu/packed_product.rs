//! The dense product of tall, skinny operands, YᵀX. X is decoded from its storage type while it is packed.
//!
//! It works as in Goto and van de Geijn 2008. Tokens are taken in blocks, X is packed into strips of neurons and Y into
//! tiles of features. A micro-kernel runs over the tokens of a block, and keeps the sums of a strip and a tile in
//! registers meanwhile.

use faer::MatMut;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::operands::{AHEAD, Operands};
use super::shares::{add, contiguous, for_each_share};
use super::vectors::arch;
use super::{prefetch, with_scratch};

/// Tokens of a block. A strip of X stays in the first-level cache while the tiles of Y pass by.
const BLOCK_TOKENS: usize = 256;
/// Tokens for which Y is packed at once.
const PACKED_TOKENS: usize = 16 * BLOCK_TOKENS;
/// Vectors of neurons in a strip.
const STRIP_VECTORS: usize = 2;
/// Neurons of the widest strip. Shares of neurons are multiples of it.
const WIDEST_STRIP: usize = STRIP_VECTORS * 16;
/// Most neurons that a thread packs at once.
const SHARE_NEURONS: usize = 256;
/// Numbers that a thread holds at once: a block of its neurons and their sums. They take most of a second-level cache
/// of 512 KiB.
const SHARE_NUMBERS: usize = 96 << 10;
/// Features of the widest tile.
const WIDEST_TILE: usize = 12;

/// out (+)= scale · XᵀY, as [`super::dense_product`].
pub(super) fn packed_product(operands: &Operands<'_>, mut out: MatMut<'_, f32>, accumulate: bool) {
    let arch = arch();
    let widest = arch.dispatch(WidestTile);
    for first in (0..operands.rows).step_by(PACKED_TOKENS) {
        let tokens = PACKED_TOKENS.min(operands.rows - first);
        let rows = &operands.coefficients[first * operands.stride..];
        with_scratch(tokens * operands.rank, |values| {
            let product = Product {
                operands,
                coefficients: &PackedCoefficients::new(rows, operands, tokens, widest, values),
                first_row: operands.first_row + first,
                accumulate: accumulate || first > 0,
            };
            let most = SHARE_NUMBERS / (BLOCK_TOKENS + operands.rank) / WIDEST_STRIP * WIDEST_STRIP;
            let most = most.clamp(WIDEST_STRIP, SHARE_NEURONS);
            for_each_share(out.as_mut(), most, WIDEST_STRIP, &|neuron, out| product.share(arch, neuron, out));
        });
    }
}

/// Y packed for the micro-kernel, which all threads share. It is one block of tokens after the other, within a block
/// one tile of features after the other, and within a tile one token after the other.
struct PackedCoefficients<'a> {
    values: &'a [f32],
    tokens: usize,
    rank: usize,
    /// Width of each tile, in order.
    tiles: Vec<usize>,
}

impl<'a> PackedCoefficients<'a> {
    /// Packs the first `tokens` of the rows into `values`.
    fn new(rows: &[f32], operands: &Operands<'_>, tokens: usize, widest: usize, values: &'a mut [f32]) -> Self {
        let (rank, stride) = (operands.rank, operands.stride);
        let count = rank.div_ceil(widest);
        // Tiles have nearly equal widths, because a narrow last one would use the registers badly.
        let tiles: Vec<usize> = (0..count).map(|t| (t + 1) * rank / count - t * rank / count).collect();
        values.par_chunks_mut(BLOCK_TOKENS * rank).zip(rows.par_chunks(BLOCK_TOKENS * stride)).for_each(
            |(packed, rows)| {
                let tokens = packed.len() / rank;
                let mut first = 0;
                for &tile in &tiles {
                    let packed = &mut packed[first * tokens..][..tile * tokens];
                    for (packed, row) in packed.chunks_exact_mut(tile).zip(rows.chunks(stride)) {
                        packed.copy_from_slice(&row[first..first + tile]);
                    }
                    first += tile;
                }
            },
        );
        PackedCoefficients { values, tokens, rank, tiles }
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
    fn share(&self, arch: pulp::Arch, neuron: usize, mut out: MatMut<'_, f32>) {
        let (rank, width) = (self.operands.rank, out.nrows());
        let padded = width.next_multiple_of(WIDEST_STRIP);
        with_scratch((1 + BLOCK_TOKENS + rank) * padded, |scratch| {
            let (row, scratch) = scratch.split_at_mut(padded);
            let (packed, sums) = scratch.split_at_mut(BLOCK_TOKENS * padded);
            // A symmetric product leaves some sums out.
            sums.fill(0.0);
            arch.dispatch(Share { product: self, neuron, width, row, packed, sums });
            for (feature, sums) in sums.chunks_exact(padded).enumerate() {
                add(contiguous(out.as_mut().col_mut(feature)), sums, self.operands.scale, self.accumulate);
            }
        });
    }
}

/// The widest tile of features whose sums fit in the registers, together with a strip of X and one factor of Y.
struct WidestTile;

impl WithSimd for WidestTile {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        ((S::REGISTER_COUNT - STRIP_VECTORS - 1) / STRIP_VECTORS).clamp(1, WIDEST_TILE)
    }
}

/// One thread's neurons.
struct Share<'a, 'b> {
    product: &'a Product<'b>,
    neuron: usize,
    width: usize,
    row: &'a mut [f32],
    packed: &'a mut [f32],
    /// The sums over the tokens so far. Each feature has those of the neurons and their padding. They are close
    /// together: rows of the result are often a multiple of a page apart, and would push one another out of the caches.
    sums: &'a mut [f32],
}

impl WithSimd for Share<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let PackedCoefficients { values, tokens, rank, .. } = self.product.coefficients;
        for (block, values) in values.chunks(BLOCK_TOKENS * rank).enumerate() {
            let first = block * BLOCK_TOKENS;
            let tokens = BLOCK_TOKENS.min(tokens - first);
            self.pack::<S>(first, tokens);
            self.multiply(simd, values, tokens, block > 0);
        }
    }
}

impl Share<'_, '_> {
    /// Decodes a block of tokens into strips. In each strip, one token follows the other.
    #[inline(always)]
    fn pack<S: Simd>(&mut self, first: usize, tokens: usize) {
        let strip = STRIP_VECTORS * S::F32_LANES;
        let width = self.width;
        let padded = width.next_multiple_of(strip);
        self.row[width..padded].fill(0.0);
        let Product { operands, first_row, .. } = self.product;
        let end = operands.first_row + operands.rows;
        for token in 0..tokens {
            if first_row + first + token + AHEAD < end {
                prefetch(operands.activations.bytes(first_row + first + token + AHEAD, self.neuron, width));
            }
            operands.activations.decode(first_row + first + token, self.neuron, &mut self.row[..width]);
            for (index, values) in self.row[..padded].chunks_exact(strip).enumerate() {
                self.packed[(index * tokens + token) * strip..][..strip].copy_from_slice(values);
            }
        }
    }

    #[inline(always)]
    fn multiply<S: Simd>(&mut self, simd: S, coefficients: &[f32], tokens: usize, accumulate: bool) {
        let strip = STRIP_VECTORS * S::F32_LANES;
        let padded = self.row.len();
        for (index, packed) in self.packed.chunks_exact(tokens * strip).take(self.width.div_ceil(strip)).enumerate() {
            let (packed, _) = S::as_simd_f32s(packed);
            let first = index * strip;
            let (mut feature, mut values) = (0, coefficients);
            for &tile in &self.product.coefficients.tiles {
                let (y, rest) = values.split_at(tokens * tile);
                if self.product.operands.symmetric && feature + tile <= self.neuron + first {
                    (feature, values) = (feature + tile, rest);
                    continue;
                }
                let out = &mut Sums { values: &mut self.sums[feature * padded..][..tile * padded], padded, first };
                match tile {
                    1 => tile_product::<S, 1>(simd, packed, y, out, accumulate),
                    2 => tile_product::<S, 2>(simd, packed, y, out, accumulate),
                    3 => tile_product::<S, 3>(simd, packed, y, out, accumulate),
                    4 => tile_product::<S, 4>(simd, packed, y, out, accumulate),
                    5 => tile_product::<S, 5>(simd, packed, y, out, accumulate),
                    6 => tile_product::<S, 6>(simd, packed, y, out, accumulate),
                    7 => tile_product::<S, 7>(simd, packed, y, out, accumulate),
                    8 => tile_product::<S, 8>(simd, packed, y, out, accumulate),
                    9 => tile_product::<S, 9>(simd, packed, y, out, accumulate),
                    10 => tile_product::<S, 10>(simd, packed, y, out, accumulate),
                    11 => tile_product::<S, 11>(simd, packed, y, out, accumulate),
                    WIDEST_TILE => tile_product::<S, WIDEST_TILE>(simd, packed, y, out, accumulate),
                    _ => unreachable!("no tile is wider than {WIDEST_TILE}"),
                }
                (feature, values) = (feature + tile, rest);
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
fn tile_product<S: Simd, const TILE: usize>(
    simd: S,
    strip: &[S::f32s],
    tile: &[f32],
    out: &mut Sums<'_>,
    accumulate: bool,
) {
    let mut sums = [[simd.splat_f32s(0.0); STRIP_VECTORS]; TILE];
    let (strip, _) = strip.as_chunks::<STRIP_VECTORS>();
    let (tile, _) = tile.as_chunks::<TILE>();
    for (x, y) in strip.iter().zip(tile) {
        for (sums, &y) in sums.iter_mut().zip(y) {
            let y = simd.splat_f32s(y);
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum = simd.mul_add_e_f32s(x, y, *sum);
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
