//! The dense product YᵀX on the tiles of Intel's Advanced Matrix Extensions (AMX), which multiply bf16 and sum in f32.
//! `projection.rs` has X Zᵀ.
//!
//! An f32 is the sum of three bf16, and an f16 is the sum of two, so that the products of such parts add up to a
//! product of f32. Products of parts that are below 2⁻²² of the whole are left out, because a sum of f32 products
//! rounds away as much. If operands may be rounded, each has only one part, the nearest bf16.

mod projection;
mod tiles;

use std::arch::x86_64::*;
use std::sync::OnceLock;

use bytemuck::Zeroable;
use faer::MatMut;
use rayon::prelude::*;

use super::bf16_pairs::{rounded_elements, sixteen, sixteen_f32};
use super::operands::{AHEAD, Operands};
use super::shares::{contiguous, for_each_share};
use super::vectors::{Vectors, vectors};
use super::{Elements, LANES, decode_transposed, prefetch, with_scratch};
use crate::{ElementType, Precision};
pub(super) use projection::amx_projection;
use tiles::{Configured, MOST_PARTS, STEP, Sums, TILE, Tile};

/// Tokens of a block. Two tiles of features stay in the first-level cache, 48 KiB, while the neurons pass by.
const BLOCK_TOKENS: usize = 128;
/// Steps of a block.
const BLOCK_STEPS: usize = BLOCK_TOKENS / STEP;
/// Tokens for which Y is packed at once, and whose sums are added to the result together. Longer chains of f32 sums
/// would lose precision.
const PACKED_TOKENS: usize = 2048;
/// Neurons that a thread packs at once, for a second-level cache of 2 MiB.
const SHARE_NEURONS: usize = 512;
/// Features, and neurons, whose sums the tiles hold at a time.
const SQUARE: usize = 2 * TILE;

/// Tiles that a square's sums fill.
const TILES_OF_SUMS: usize = size_of::<Sums>() / size_of::<Tile>();

/// Whether this machine has AMX and lets this process use it. `UNMIX_AMX=0` and restricted vectors turn it off.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let is_wanted = std::env::var_os("UNMIX_AMX").is_none_or(|value| value != "0");
        is_wanted && vectors() == Vectors::Widest && tiles::permitted()
    })
}

/// out (+)= scale · XᵀY, as [`super::dense_product`]. If the product is symmetric, all of it is computed.
pub(super) fn amx_product(operands: &Operands<'_>, mut out: MatMut<'_, f32>, accumulate: bool) {
    for first in (0..operands.rows).step_by(PACKED_TOKENS) {
        let tokens = PACKED_TOKENS.min(operands.rows - first);
        let accumulate = accumulate || first > 0;
        let features = operands.rank.div_ceil(TILE);
        let (parts, y_parts) = match operands.precision {
            Precision::Bf16 => (1, 1),
            Precision::F32 | Precision::F16 => (parts(operands.activations.element()), MOST_PARTS),
        };
        with_tiles(tokens.div_ceil(STEP) * features * y_parts, |tiles| {
            let coefficients = PackedCoefficients::new(operands, first, tokens, y_parts, tiles);
            for_each_share(out.as_mut(), SHARE_NEURONS, SQUARE, &|neuron, out| {
                let first_row = operands.first_row + first;
                Share { operands, coefficients: &coefficients, parts, first_row, neuron }.sum_up(out, accumulate);
            });
        });
    }
}

/// Runs `work` with `count` tiles of a thread's scratch, whose content is arbitrary.
fn with_tiles<R>(count: usize, work: impl FnOnce(&mut [Tile]) -> R) -> R {
    with_scratch(count * size_of::<Tile>() / size_of::<f32>(), |scratch| work(bytemuck::cast_slice_mut(scratch)))
}

/// Number of parts of an activation.
fn parts(element: ElementType) -> usize {
    match element {
        ElementType::Bf16 => 1,
        // Of 8 and 3 of its 11 bits.
        ElementType::F16 => 2,
        // Of 8 each of its 24 bits.
        ElementType::F32 => 3,
    }
}

/// Takes the upper 16 bits, which are a bf16, off each value, and leaves the rest.
#[inline(always)]
fn cut(values: &mut [f32; TILE]) -> [u32; TILE] {
    let upper = values.map(|value| value.to_bits() & 0xffff_0000);
    for (value, &upper) in values.iter_mut().zip(&upper) {
        *value -= f32::from_bits(upper);
    }
    upper
}

/// The bits of the nearest bf16.
#[inline(always)]
fn nearest_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// Cuts two tokens, or two neurons of a projection, into bf16, one part after the other. The two lie side by side in a
/// row of each part's tile.
#[target_feature(enable = "avx512f")]
#[inline]
fn split_pairs(mut pair: [__m512; 2], row: usize, tiles: &mut [Tile]) {
    let upper_half = _mm512_set1_epi32(!0xffff);
    for tile in tiles {
        let parts = pair.map(|values| _mm512_and_si512(_mm512_castps_si512(values), upper_half));
        tile.0[row] = bytemuck::cast(_mm512_or_si512(_mm512_srli_epi32(parts[0], 16), parts[1]));
        pair = [0, 1].map(|i| _mm512_sub_ps(pair[i], _mm512_castsi512_ps(parts[i])));
    }
}

/// Y in tiles, which all threads share. It is one block of tokens after the other. Within a block there are groups of
/// 16 features, and within a group the steps. Each step has as many tiles as coefficients have parts, with a row for
/// each feature.
struct PackedCoefficients<'a> {
    tiles: &'a [Tile],
    parts: usize,
    /// Number of tiles of features.
    features: usize,
    tokens: usize,
}

impl<'a> PackedCoefficients<'a> {
    /// Packs `tokens` tokens from `first` on into `tiles`, as many as are needed.
    fn new(operands: &Operands<'_>, first: usize, tokens: usize, parts: usize, tiles: &'a mut [Tile]) -> Self {
        let features = operands.rank.div_ceil(TILE);
        let coefficients =
            Elements::new(bytemuck::cast_slice(operands.coefficients), ElementType::F32, operands.stride as u32);
        tiles.par_chunks_mut(features * BLOCK_STEPS * parts).enumerate().for_each(|(block, tiles)| {
            let steps = tiles.len() / (features * parts);
            for (index, tiles) in tiles.chunks_exact_mut(parts).enumerate() {
                let (feature, step) = (index / steps * TILE, index % steps);
                let token = block * BLOCK_TOKENS + step * STEP;
                let at = Corner { token: first + token, tokens: tokens - token, feature };
                // SAFETY: AMX comes with AVX-512.
                unsafe { pack_coefficients(coefficients, &at, operands.rank, operands.scale, tiles) };
            }
        });
        PackedCoefficients { tiles, parts, features, tokens }
    }
}

/// Where a tile of coefficients begins, and how many tokens there are from there on.
struct Corner {
    token: usize,
    tokens: usize,
    feature: usize,
}

/// Transposes and cuts the coefficients of one step and 16 features, times `scale`.
#[target_feature(enable = "avx512f,avx512bw")]
fn pack_coefficients(coefficients: Elements<'_>, at: &Corner, rank: usize, scale: f32, tiles: &mut [Tile]) {
    let features = TILE.min(rank - at.feature);
    if features < TILE || at.tokens < STEP {
        tiles.fill(Tile::zeroed());
    }
    for half in 0..2 {
        let tokens = at.tokens.saturating_sub(half * TILE).min(TILE);
        if tokens == 0 {
            break;
        }
        let mut transposed = [[0f32; LANES]; TILE];
        decode_transposed(coefficients, at.token + half * TILE, tokens, at.feature, &mut transposed[..features]);
        for (feature, values) in transposed[..features].iter_mut().enumerate() {
            *values = values.map(|value| value * scale);
            let row = |tile: &mut Tile, words: [u16; TILE]| {
                let row: &mut [u16] = bytemuck::cast_slice_mut(&mut tile.0[feature]);
                row[half * TILE..][..TILE].copy_from_slice(&words);
            };
            match &mut *tiles {
                [tile] => row(tile, values.map(nearest_bf16)),
                tiles => tiles.iter_mut().for_each(|tile| row(tile, cut(values).map(|word| (word >> 16) as u16))),
            }
        }
    }
}

/// One thread's neurons.
struct Share<'a> {
    operands: &'a Operands<'a>,
    coefficients: &'a PackedCoefficients<'a>,
    /// Number of parts of the activations.
    parts: usize,
    first_row: usize,
    neuron: usize,
}

impl Share<'_> {
    /// out (+)= the sums over all tokens.
    fn sum_up(&self, mut out: MatMut<'_, f32>, accumulate: bool) {
        let strips = out.nrows().next_multiple_of(SQUARE) / TILE;
        let tiles = strips * BLOCK_STEPS * self.parts;
        let squares = strips / 2 * self.coefficients.features.div_ceil(2);
        with_tiles(tiles + squares * TILES_OF_SUMS, |scratch| {
            let (activations, sums) = scratch.split_at_mut(tiles);
            let sums: &mut [Sums] = bytemuck::cast_slice_mut(sums);
            sums.fill(Sums::zeroed());
            self.run(activations, out.nrows(), sums);
            // SAFETY: AMX comes with AVX-512.
            unsafe { self.add(sums, out.as_mut(), accumulate) };
        });
    }

    /// Adds the products of all tokens to `sums`.
    fn run(&self, tiles: &mut [Tile], width: usize, sums: &mut [Sums]) {
        let PackedCoefficients { tiles: coefficients, parts: y_parts, features, tokens } = self.coefficients;
        let parts = self.parts;
        // Pairs of 16 neurons. Zeros fill up the last pair.
        let strips = width.next_multiple_of(SQUARE) / TILE;
        // SAFETY: this product is only used if AMX is permitted.
        let configured = unsafe { Configured::new() };
        for (block, coefficients) in coefficients.chunks(features * BLOCK_STEPS * y_parts).enumerate() {
            let first = block * BLOCK_TOKENS;
            let steps = coefficients.len() / (features * y_parts);
            let activations = &mut tiles[..strips * steps * parts];
            // SAFETY: AMX comes with AVX-512.
            unsafe { self.pack(first, BLOCK_TOKENS.min(tokens - first), width, activations) };
            let squares = strips / 2;
            let mut next_row = first + BLOCK_TOKENS..(first + 2 * BLOCK_TOKENS).min(*tokens);
            for (y, sums) in coefficients.chunks(2 * steps * y_parts).zip(sums.chunks_exact_mut(squares)) {
                // Fetches ahead: a part of the coefficients that come next, with each square, and a row of the next
                // block.
                let next = y.as_ptr_range().end;
                let (y, second) = y.split_at(steps * y_parts);
                let second = (!second.is_empty()).then_some(second);
                for (index, (x, sums)) in activations.chunks_exact(2 * steps * parts).zip(sums).enumerate() {
                    let next = next.wrapping_add(index * 2 * steps * y_parts / squares).cast();
                    let row = next_row
                        .next()
                        .map(|row| self.operands.activations.bytes(self.first_row + row, self.neuron, width));
                    let next = [next, row.map_or(next, <[u8]>::as_ptr)];
                    configured.multiply(y, second, x.split_at(steps * parts), parts, sums, next);
                }
            }
        }
    }

    /// out (+)= sums.
    #[target_feature(enable = "avx512f")]
    fn add(&self, sums: &[Sums], mut out: MatMut<'_, f32>, accumulate: bool) {
        let strips = out.nrows().div_ceil(SQUARE);
        for feature in 0..out.ncols() {
            let column = contiguous(out.as_mut().col_mut(feature));
            let sums = &sums[feature / SQUARE * strips..][..strips];
            for (column, sums) in column.chunks_mut(SQUARE).zip(sums) {
                for (column, sums) in column.chunks_mut(TILE).zip(&sums.0[feature % SQUARE / TILE]) {
                    let sums = &sums[feature % TILE];
                    match <&mut [f32; TILE]>::try_from(&mut *column) {
                        Ok(column) if accumulate => *column = std::array::from_fn(|i| column[i] + sums[i]),
                        Ok(column) => *column = *sums,
                        Err(_) => {
                            for (out, sum) in column.iter_mut().zip(sums) {
                                *out = if accumulate { *out + sum } else { *sum };
                            }
                        }
                    }
                }
            }
        }
    }

    /// Lays two tokens of 16 neurons side by side, for a block of tokens. There are groups of 16 neurons, within a
    /// group the steps, and within each step the parts.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn pack(&self, first: usize, tokens: usize, width: usize, tiles: &mut [Tile]) {
        let Operands { activations, .. } = self.operands;
        let (element, row) = (activations.element(), self.first_row + first);
        let end = self.operands.first_row + self.operands.rows;
        let (parts, steps) = (self.parts, tokens.div_ceil(STEP));
        for pair in 0..steps * TILE {
            let rows = [2 * pair, 2 * pair + 1].map(|token| {
                if row + token + AHEAD < end {
                    prefetch(activations.bytes(row + token + AHEAD, self.neuron, width));
                }
                if token < tokens { activations.bytes(row + token, self.neuron, width) } else { &[] }
            });
            let (step, row) = (pair / TILE, pair % TILE);
            for (strip, tiles) in tiles.chunks_exact_mut(steps * parts).enumerate() {
                let tiles = &mut tiles[step * parts..][..parts];
                let neurons = strip * TILE * element.bytes();
                match tiles {
                    [tile] => tile.0[row] = rounded_elements(element, rows, neurons),
                    tiles => split_pairs(rows.map(|bytes| sixteen_f32(element, bytes, neurons)), row, tiles),
                }
            }
        }
    }
}
