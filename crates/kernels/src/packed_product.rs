//! The CPU's dense product for tall, skinny operands: YᵀX with X decoded from its storage type while it is packed.
//!
//! As in Goto and van de Geijn 2008: a block of tokens is packed into strips of neurons (X) and tiles of features (Y), and a
//! micro-kernel keeps a strip × tile of sums in registers while it runs over the tokens.

use faer::MatMut;
use pulp::{Simd, WithSimd};

use crate::cpu::{Elements, with_scratch};

/// Tokens of a block: a strip of X and a tile of Y for so many fit in the first two caches together.
const BLOCK_TOKENS: usize = 512;
/// Vectors of neurons in a strip.
const STRIP_VECTORS: usize = 2;
/// Neurons of the widest strip; blocks of neurons are multiples of it.
const WIDEST_STRIP: usize = STRIP_VECTORS * 16;
/// Neurons decoded in one go, and packed by one thread at once.
const BLOCK_NEURONS: usize = 256;

/// Y packed for the micro-kernel, shared by all threads.
struct PackedCoefficients {
    values: Vec<f32>,
    tokens: usize,
    /// Width of each tile, in order.
    tiles: Vec<usize>,
}

impl PackedCoefficients {
    /// Packs `tokens` rows of Y into tiles of at most `widest` features, each token after token.
    fn new(coefficients: &[f32], stride: usize, rank: usize, tokens: usize, widest: usize) -> Self {
        let count = rank.div_ceil(widest);
        // Tiles of nearly equal width: a narrow last one would use the registers badly.
        let tiles: Vec<usize> = (0..count).map(|t| (t + 1) * rank / count - t * rank / count).collect();
        let mut values = Vec::with_capacity(tokens * rank);
        let mut first = 0;
        for &width in &tiles {
            for row in coefficients.chunks(stride).take(tokens) {
                values.extend_from_slice(&row[first..first + width]);
            }
            first += width;
        }
        PackedCoefficients { values, tokens, tiles }
    }
}

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
}

/// out (+)= scale · XᵀY as [d, K], column-major with contiguous columns. Every sum is taken in one order, whatever the number
/// of threads.
pub(crate) fn packed_product(operands: &Operands<'_>, mut out: MatMut<'_, f32>, accumulate: bool) {
    let arch = pulp::Arch::new();
    let widest = arch.dispatch(WidestTile);
    let threads = rayon::current_num_threads();
    // Some blocks a thread, so that none waits long for the last one.
    let width = out.nrows().div_ceil(4 * threads).next_multiple_of(WIDEST_STRIP).min(BLOCK_NEURONS);
    for first in (0..operands.rows).step_by(BLOCK_TOKENS) {
        let tokens = BLOCK_TOKENS.min(operands.rows - first);
        let rows = &operands.coefficients[first * operands.stride..];
        let coefficients = PackedCoefficients::new(rows, operands.stride, operands.rank, tokens, widest);
        let block = Block {
            arch,
            operands,
            coefficients: &coefficients,
            first_row: operands.first_row + first,
            width,
            accumulate: accumulate || first > 0,
        };
        block.run(0, out.as_mut());
    }
}

/// A block of tokens against all neurons.
struct Block<'a> {
    arch: pulp::Arch,
    operands: &'a Operands<'a>,
    coefficients: &'a PackedCoefficients,
    first_row: usize,
    width: usize,
    accumulate: bool,
}

impl Block<'_> {
    /// Halves the neurons until one thread's share is left.
    fn run(&self, neuron: usize, out: MatMut<'_, f32>) {
        let shares = out.nrows().div_ceil(self.width);
        if shares > 1 {
            let middle = shares / 2 * self.width;
            let (left, right) = out.split_at_row_mut(middle);
            rayon::join(|| self.run(neuron, left), || self.run(neuron + middle, right));
        } else {
            let tokens = self.coefficients.tokens;
            with_scratch((tokens + 1) * self.width, |scratch| {
                let (row, packed) = scratch.split_at_mut(self.width);
                self.arch.dispatch(Share { block: self, neuron, row, packed, out });
            });
        }
    }
}

/// The widest tile of features whose sums, with a strip of X and one factor of Y, fit the registers.
struct WidestTile;

impl WithSimd for WidestTile {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        ((S::REGISTER_COUNT - STRIP_VECTORS - 1) / STRIP_VECTORS).clamp(1, 12)
    }
}

/// One thread's neurons.
struct Share<'a, 'b, 'c> {
    block: &'a Block<'b>,
    neuron: usize,
    row: &'a mut [f32],
    packed: &'a mut [f32],
    out: MatMut<'c, f32>,
}

impl WithSimd for Share<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Share { block, neuron, row, packed, mut out } = self;
        let tokens = block.coefficients.tokens;
        let strip = STRIP_VECTORS * S::F32_LANES;
        let width = out.nrows();
        let padded = width.next_multiple_of(strip);
        row[width..padded].fill(0.0);
        for token in 0..tokens {
            block.operands.activations.decode(block.first_row + token, neuron, &mut row[..width]);
            for (index, values) in row[..padded].chunks_exact(strip).enumerate() {
                packed[(index * tokens + token) * strip..][..strip].copy_from_slice(values);
            }
        }
        for (index, packed) in packed[..tokens * padded].chunks_exact(tokens * strip).enumerate() {
            let (packed, _) = S::as_simd_f32s(packed);
            let first = index * strip;
            let strip_width = strip.min(width - first);
            let mut out = out.as_mut().subrows_mut(first, strip_width);
            let (mut feature, mut values) = (0, block.coefficients.values.as_slice());
            for &tile in &block.coefficients.tiles {
                let (y, rest) = values.split_at(tokens * tile);
                let out = out.as_mut().subcols_mut(feature, tile);
                let factor = block.operands.scale;
                match tile {
                    1 => tile_product::<S, 1>(simd, packed, y, out, factor, block.accumulate),
                    2 => tile_product::<S, 2>(simd, packed, y, out, factor, block.accumulate),
                    3 => tile_product::<S, 3>(simd, packed, y, out, factor, block.accumulate),
                    4 => tile_product::<S, 4>(simd, packed, y, out, factor, block.accumulate),
                    5 => tile_product::<S, 5>(simd, packed, y, out, factor, block.accumulate),
                    6 => tile_product::<S, 6>(simd, packed, y, out, factor, block.accumulate),
                    7 => tile_product::<S, 7>(simd, packed, y, out, factor, block.accumulate),
                    8 => tile_product::<S, 8>(simd, packed, y, out, factor, block.accumulate),
                    9 => tile_product::<S, 9>(simd, packed, y, out, factor, block.accumulate),
                    10 => tile_product::<S, 10>(simd, packed, y, out, factor, block.accumulate),
                    11 => tile_product::<S, 11>(simd, packed, y, out, factor, block.accumulate),
                    12 => tile_product::<S, 12>(simd, packed, y, out, factor, block.accumulate),
                    _ => unreachable!("tiles are at most 12 wide"),
                }
                feature += tile;
                values = rest;
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
    for (x, y) in strip.chunks_exact(STRIP_VECTORS).zip(tile.chunks_exact(TILE)) {
        for (sums, &y) in sums.iter_mut().zip(y) {
            let y = simd.splat_f32s(y);
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum = simd.mul_add_e_f32s(x, y, *sum);
            }
        }
    }
    let scale_vector = simd.splat_f32s(scale);
    for (feature, sums) in sums.iter().enumerate() {
        let column =
            out.as_mut().col_mut(feature).try_as_col_major_mut().expect("columns are contiguous").as_slice_mut();
        if column.len() == STRIP_VECTORS * S::F32_LANES {
            let (vectors, _) = S::as_mut_simd_f32s(column);
            for (out, &sum) in vectors.iter_mut().zip(sums) {
                let product = simd.mul_f32s(sum, scale_vector);
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
