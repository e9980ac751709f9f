//! X Zᵀ on AMX's tiles. Tokens are the rows of one operand, and features are the columns of the other.

use std::arch::x86_64::*;

use bytemuck::Zeroable;
use rayon::prelude::*;

use super::tiles::{Configured, MOST_PARTS, STEP, Sums, TILE, Tile};
use super::{BLOCK_STEPS, SQUARE, TILES_OF_SUMS, parts, sixteen, split_pairs, with_tiles};
use crate::ElementType;
use crate::cpu::projected::Projected;
use crate::cpu::{Elements, LANES, decode_transposed};

/// Neurons for which Z is packed at once.
const PACKED_NEURONS: usize = 1024;
/// Tokens that a thread packs at once.
const SHARE_TOKENS: usize = 4 * SQUARE;

/// Fewest parts of the first operand for which a product with several parts of the second exists.
const FEWEST_PARTS: usize = 2;

/// out = scale · X Zᵀ, in rows `out_stride` apart.
pub(in super::super) fn amx_projection(operands: &Projected<'_>, out: &mut [f32], out_stride: usize) {
    let strips = operands.rank.next_multiple_of(SQUARE) / TILE;
    let rows = operands.features.par_chunks(operands.stride).take(operands.rank);
    let are_bf16 = |row: &[f32]| row[..operands.neurons].iter().fold(0, |bits, z| bits | z.to_bits()) & 0xffff == 0;
    let feature_parts = if rows.all(are_bf16) { 1 } else { MOST_PARTS };
    for first in (0..operands.neurons).step_by(PACKED_NEURONS) {
        let steps = PACKED_NEURONS.min(operands.neurons - first).div_ceil(STEP);
        with_tiles(strips * steps * feature_parts, |tiles| {
            tiles.par_chunks_mut(steps * feature_parts).enumerate().for_each(|(strip, tiles)| {
                // SAFETY: AMX comes with AVX-512.
                unsafe { pack_features(operands, first, strip * TILE, feature_parts, tiles) };
            });
            let features = &*tiles;
            out.par_chunks_mut(SHARE_TOKENS * out_stride).enumerate().for_each(|(share, out)| {
                let token = share * SHARE_TOKENS;
                let share = Share { operands, features, feature_parts, strips, steps, first, token };
                share.project(out, out_stride);
            });
        });
    }
}

/// Lays the pairs of neurons of 16 features side by side. The steps follow one another, and each step has a tile for
/// every part, with a row for each pair.
#[target_feature(enable = "avx512f")]
fn pack_features(operands: &Projected<'_>, first: usize, feature: usize, parts: usize, tiles: &mut [Tile]) {
    let features = operands.rank.saturating_sub(feature).min(TILE);
    let values = Elements::new(bytemuck::cast_slice(operands.features), ElementType::F32, operands.stride as u32);
    for (step, tiles) in tiles.chunks_exact_mut(parts).enumerate() {
        let neuron = first + step * STEP;
        let neurons = STEP.min(operands.neurons - neuron);
        let mut transposed = [[0f32; LANES]; STEP];
        if features > 0 {
            decode_transposed(values, feature, features, neuron, &mut transposed[..neurons]);
        }
        for (row, pair) in transposed.as_chunks::<2>().0.iter().enumerate() {
            split_pairs(pair.map(bytemuck::cast), row, tiles);
        }
    }
}

/// The tokens of one thread, and the neurons for which Z is packed.
struct Share<'a> {
    operands: &'a Projected<'a>,
    features: &'a [Tile],
    feature_parts: usize,
    /// Number of tiles of features, which is even.
    strips: usize,
    steps: usize,
    first: usize,
    token: usize,
}

impl Share<'_> {
    /// Projects the share's tokens onto all features, over the neurons for which Z is packed.
    fn project(&self, out: &mut [f32], out_stride: usize) {
        let parts = parts(self.operands.activations.element()).max(FEWEST_PARTS);
        let feature_parts = self.feature_parts;
        let tokens = out.len() / out_stride;
        let count = tokens.next_multiple_of(SQUARE) / TILE;
        let squares = count / 2 * (self.strips / 2);
        with_tiles(count * BLOCK_STEPS * parts + squares * TILES_OF_SUMS, |scratch| {
            let (tiles, sums) = scratch.split_at_mut(count * BLOCK_STEPS * parts);
            let sums: &mut [Sums] = bytemuck::cast_slice_mut(sums);
            sums.fill(Sums::zeroed());
            // SAFETY: this projection is only used if AMX is permitted.
            let configured = unsafe { Configured::new() };
            for first_step in (0..self.steps).step_by(BLOCK_STEPS) {
                let steps = BLOCK_STEPS.min(self.steps - first_step);
                let tiles = &mut tiles[..count * steps * parts];
                for (index, tiles) in tiles.chunks_exact_mut(steps * parts).enumerate() {
                    for (step, tiles) in tiles.chunks_exact_mut(parts).enumerate() {
                        let neuron = self.first + (first_step + step) * STEP;
                        // SAFETY: AMX comes with AVX-512.
                        unsafe { self.pack(index * TILE, tokens, neuron, tiles) };
                    }
                }
                for (y, sums) in tiles.chunks_exact(2 * steps * parts).zip(sums.chunks_exact_mut(self.strips / 2)) {
                    let (y, second) = y.split_at(steps * parts);
                    for (x, sums) in self.features.chunks_exact(2 * self.steps * feature_parts).zip(sums) {
                        let (x, other) = x.split_at(self.steps * feature_parts);
                        let block = first_step * feature_parts..(first_step + steps) * feature_parts;
                        let x = (&x[block.clone()], &other[block]);
                        // Everything is near, so only what is already there is fetched.
                        let next = [y.as_ptr().cast(); 2];
                        configured.multiply(y, Some(second), x, feature_parts, sums, next);
                    }
                }
            }
            drop(configured);
            for (token, out) in out.chunks_mut(out_stride).enumerate() {
                let sums = &sums[token / SQUARE * (self.strips / 2)..];
                for (strip, out) in out[..self.operands.rank].chunks_mut(TILE).enumerate() {
                    let sums = &sums[strip / 2].0[token % SQUARE / TILE][strip % 2][token % TILE];
                    self.add(sums, out);
                }
            }
        });
    }

    /// out = scale · sums for the first neurons, and out += scale · sums for later ones.
    fn add(&self, sums: &[f32; TILE], out: &mut [f32]) {
        for (out, sum) in out.iter_mut().zip(sums) {
            let sum = sum * self.operands.scale;
            *out = if self.first > 0 { *out + sum } else { sum };
        }
    }

    /// Lays 32 neurons of 16 tokens, from the share's `place` on, in the rows of each part's tile.
    #[target_feature(enable = "avx512f,avx512bw")]
    fn pack(&self, place: usize, tokens: usize, neuron: usize, tiles: &mut [Tile]) {
        let Projected { activations, neurons, .. } = self.operands;
        let element = activations.element();
        let neurons = STEP.min(neurons - neuron);
        let half = TILE * element.bytes();
        for row in 0..TILE {
            let bytes =
                if place + row < tokens { activations.bytes(self.token + place + row, neuron, neurons) } else { &[] };
            match element {
                ElementType::Bf16 => {
                    tiles[0].0[row] = sixteen(bytes, 0);
                    tiles[1].0[row] = [0; TILE];
                }
                ElementType::F16 => {
                    split_rows([0, half].map(|at| _mm512_cvtph_ps(sixteen(bytes, at))), row, tiles);
                }
                ElementType::F32 => split_rows([0, half].map(|at| sixteen(bytes, at)), row, tiles),
            }
        }
    }
}

/// Cuts 32 values into bf16, one part after the other, and lays each part in a row of its tile.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn split_rows(mut halves: [__m512; 2], row: usize, tiles: &mut [Tile]) {
    // The upper half of every 32-bit word, first of one vector and then of the other.
    let odd: __m512i = bytemuck::cast::<[u16; STEP], _>(std::array::from_fn(|i| 2 * i as u16 + 1));
    let upper_half = _mm512_set1_epi32(!0xffff);
    for tile in tiles {
        let words = halves.map(|half| _mm512_castps_si512(half));
        tile.0[row] = bytemuck::cast(_mm512_permutex2var_epi16(words[0], odd, words[1]));
        halves = [0, 1].map(|i| _mm512_sub_ps(halves[i], _mm512_castsi512_ps(_mm512_and_si512(words[i], upper_half))));
    }
}
