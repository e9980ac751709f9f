//! The dense product of tall, skinny operands, YᵀX, with X decoded from its storage type while it is packed.
//!
//! As in Goto and van de Geijn 2008: tokens in blocks, X packed into strips of neurons and Y into tiles of features, and a
//! micro-kernel that keeps a strip × tile of sums in registers while it runs over a block's tokens.

use faer::MatMut;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::{Elements, with_scratch};

/// Tokens of a block: a strip of X stays in the first cache while the tiles of Y pass by.
const BLOCK_TOKENS: usize = 256;
/// Tokens for which Y is packed at once.
const PACKED_TOKENS: usize = 4 * BLOCK_TOKENS;
/// Vectors of neurons in a strip.
const STRIP_VECTORS: usize = 2;
/// Neurons of the widest strip; shares of neurons are multiples of it.
const WIDEST_STRIP: usize = STRIP_VECTORS * 16;
/// Neurons that a thread packs at once: with [`BLOCK_TOKENS`], half of a second-level cache of 512 KiB.
const SHARE_NEURONS: usize = 256;
/// Features of the widest tile.
const WIDEST_TILE: usize = 12;

/// X and Y of a product.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    /// X, from its row `first_row` on.
    pub activations: Elements<'a>,
    pub first_row: usize,
    /// Y, `rows` rows `stride` apart.
    pub coefficients: &'a [f32],
    pub stride: usize,
    pub rank: usize,
    pub rows: usize,
    /// Factor of the product.
    pub scale: f32,
    /// Whether X is Y, so that half of the product is enough: of each pair of entries that mirror one another, at least the
    /// one below the diagonal (its feature after its neuron) is computed.
    pub symmetric: bool,
}

/// out (+)= scale · XᵀY as [d, K], column-major with contiguous columns. Every sum is taken in one order, whatever the number
/// of threads.
pub(crate) fn packed_product(operands: &Operands<'_>, mut out: MatMut<'_, f32>, accumulate: bool) {
    let arch = pulp::Arch::new();
    let widest = arch.dispatch(WidestTile);
    let threads = rayon::current_num_threads();
    // Some shares a thread, so that none waits long for the last one.
    let width = out.nrows().div_ceil(4 * threads).next_multiple_of(WIDEST_STRIP).min(SHARE_NEURONS);
    for first in (0..operands.rows).step_by(PACKED_TOKENS) {
        let tokens = PACKED_TOKENS.min(operands.rows - first);
        let rows = &operands.coefficients[first * operands.stride..];
        let product = Product {
            arch,
            operands,
            coefficients: &PackedCoefficients::new(rows, operands.stride, operands.rank, tokens, widest),
            first_row: operands.first_row + first,
            width,
            accumulate: accumulate || first > 0,
        };
        product.run(0, out.as_mut());
    }
}

/// Y packed for the micro-kernel, shared by all threads: block of tokens after block, in it tile after tile of features, in
/// that token after token.
struct PackedCoefficients {
    values: Vec<f32>,
    tokens: usize,
    rank: usize,
    /// Width of each tile, in order.
    tiles: Vec<usize>,
}

impl PackedCoefficients {
    fn new(coefficients: &[f32], stride: usize, rank: usize, tokens: usize, widest: usize) -> Self {
        let count = rank.div_ceil(widest);
        // Tiles of nearly equal width: a narrow last one would use the registers badly.
        let tiles: Vec<usize> = (0..count).map(|t| (t + 1) * rank / count - t * rank / count).collect();
        let mut values = vec![0f32; tokens * rank];
        values.par_chunks_mut(BLOCK_TOKENS * rank).zip(coefficients.par_chunks(BLOCK_TOKENS * stride)).for_each(
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

/// The tokens for which Y is packed, against all neurons.
struct Product<'a> {
    arch: pulp::Arch,
    operands: &'a Operands<'a>,
    coefficients: &'a PackedCoefficients,
    first_row: usize,
    width: usize,
    accumulate: bool,
}

impl Product<'_> {
    /// Halves the neurons until one thread's share is left.
    fn run(&self, neuron: usize, out: MatMut<'_, f32>) {
        let shares = out.nrows().div_ceil(self.width);
        if shares > 1 {
            let middle = shares / 2 * self.width;
            let (left, right) = out.split_at_row_mut(middle);
            rayon::join(|| self.run(neuron, left), || self.run(neuron + middle, right));
        } else {
            with_scratch((BLOCK_TOKENS + 1) * self.width, |scratch| {
                let (row, packed) = scratch.split_at_mut(self.width);
                self.arch.dispatch(Share { product: self, neuron, row, packed, out });
            });
        }
    }
}

/// The widest tile of features whose sums, with a strip of X and one factor of Y, fit the registers.
struct WidestTile;

impl WithSimd for WidestTile {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        ((S::REGISTER_COUNT - STRIP_VECTORS - 1) / STRIP_VECTORS).clamp(1, WIDEST_TILE)
    }
}

/// One thread's neurons.
struct Share<'a, 'b, 'c> {
    product: &'a Product<'b>,
    neuron: usize,
    row: &'a mut [f32],
    packed: &'a mut [f32],
    out: MatMut<'c, f32>,
}

impl WithSimd for Share<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let PackedCoefficients { values, tokens, rank, .. } = self.product.coefficients;
        for (block, values) in values.chunks(BLOCK_TOKENS * rank).enumerate() {
            let first = block * BLOCK_TOKENS;
            let tokens = BLOCK_TOKENS.min(tokens - first);
            self.pack::<S>(first, tokens);
            self.multiply(simd, values, tokens, self.product.accumulate || block > 0);
        }
    }
}

impl Share<'_, '_, '_> {
    /// Decodes a block of tokens into strips, each token after token.
    #[inline(always)]
    fn pack<S: Simd>(&mut self, first: usize, tokens: usize) {
        let strip = STRIP_VECTORS * S::F32_LANES;
        let width = self.out.nrows();
        let padded = width.next_multiple_of(strip);
        self.row[width..padded].fill(0.0);
        let Product { operands, first_row, .. } = self.product;
        for token in 0..tokens {
            operands.activations.decode(first_row + first + token, self.neuron, &mut self.row[..width]);
            for (index, values) in self.row[..padded].chunks_exact(strip).enumerate() {
                self.packed[(index * tokens + token) * strip..][..strip].copy_from_slice(values);
            }
        }
    }

    #[inline(always)]
    fn multiply<S: Simd>(&mut self, simd: S, coefficients: &[f32], tokens: usize, accumulate: bool) {
        let strip = STRIP_VECTORS * S::F32_LANES;
        let width = self.out.nrows();
        let scale = self.product.operands.scale;
        for (index, packed) in self.packed.chunks_exact(tokens * strip).take(width.div_ceil(strip)).enumerate() {
            let (packed, _) = S::as_simd_f32s(packed);
            let first = index * strip;
            let mut out = self.out.as_mut().subrows_mut(first, strip.min(width - first));
            let (mut feature, mut values) = (0, coefficients);
            for &tile in &self.product.coefficients.tiles {
                let (y, rest) = values.split_at(tokens * tile);
                if self.product.operands.symmetric && feature + tile <= self.neuron + first {
                    (feature, values) = (feature + tile, rest);
                    continue;
                }
                let out = out.as_mut().subcols_mut(feature, tile);
                match tile {
                    1 => tile_product::<S, 1>(simd, packed, y, out, scale, accumulate),
                    2 => tile_product::<S, 2>(simd, packed, y, out, scale, accumulate),
                    3 => tile_product::<S, 3>(simd, packed, y, out, scale, accumulate),
                    4 => tile_product::<S, 4>(simd, packed, y, out, scale, accumulate),
                    5 => tile_product::<S, 5>(simd, packed, y, out, scale, accumulate),
                    6 => tile_product::<S, 6>(simd, packed, y, out, scale, accumulate),
                    7 => tile_product::<S, 7>(simd, packed, y, out, scale, accumulate),
                    8 => tile_product::<S, 8>(simd, packed, y, out, scale, accumulate),
                    9 => tile_product::<S, 9>(simd, packed, y, out, scale, accumulate),
                    10 => tile_product::<S, 10>(simd, packed, y, out, scale, accumulate),
                    11 => tile_product::<S, 11>(simd, packed, y, out, scale, accumulate),
                    WIDEST_TILE => tile_product::<S, WIDEST_TILE>(simd, packed, y, out, scale, accumulate),
                    _ => unreachable!("no tile is wider than {WIDEST_TILE}"),
                }
                (feature, values) = (feature + tile, rest);
            }
        }
    }
}

/// The micro-kernel: a strip of X times a tile of Y, `TILE` features wide.
#[inline(always)]
fn tile_product<S: Simd, const TILE: usize>(
    simd: S,
    strip: &[S::f32s],
    tile: &[f32],
    mut out: MatMut<'_, f32>,
    scale: f32,
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
    let factor = simd.splat_f32s(scale);
    for (feature, sums) in sums.iter().enumerate() {
        let column =
            out.as_mut().col_mut(feature).try_as_col_major_mut().expect("columns are contiguous").as_slice_mut();
        if column.len() == STRIP_VECTORS * S::F32_LANES {
            let (vectors, _) = S::as_mut_simd_f32s(column);
            for (out, &sum) in vectors.iter_mut().zip(sums) {
                let product = simd.mul_f32s(sum, factor);
                *out = if accumulate { simd.add_f32s(*out, product) } else { product };
            }
        } else {
            let sums: &[f32] = bytemuck::cast_slice(sums);
            for (out, sum) in column.iter_mut().zip(sums) {
                *out = if accumulate { *out + scale * sum } else { scale * sum };
            }
        }
    }
}
