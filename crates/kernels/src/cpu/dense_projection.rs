//! The dense product X Zᵀ of two operands whose rows hold the values of neurons, in the way that is fastest on this
//! processor.
//!
//! On vectors, tokens lie side by side. Neurons are taken in blocks, X is decoded into strips of tokens and Z packed into
//! tiles of features, and the sums of a strip and a tile stay in registers while the neurons of a block pass by (Goto and
//! van de Geijn 2008).

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::amx_product;
use super::feature_tiles::{feature_tiles, widest_tile, with_tile_width};
use super::projected::Projected;
use super::{LANES, arch, decode_transposed, deinterleave, interleave, splat, with_scratch};

/// Vectors of tokens whose sums are in registers at once.
const VECTORS: usize = 2;
/// Tokens of a strip: so many of the widest vectors.
const STRIP: usize = VECTORS * LANES;
/// Neurons of a block. Those of a strip take 32 KiB, and stay in the first-level cache while the tiles of Z pass by.
const BLOCK: usize = 256;
/// Neurons for which Z is packed at once: whole blocks.
const PACKED: usize = 8 * BLOCK;

/// out = scale · X Zᵀ, in rows `out_stride` apart.
pub(crate) fn dense_projection(operands: &Projected<'_>, out: &mut [f32], out_stride: usize) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if amx_product::available() {
        return amx_product::amx_projection(operands, out, out_stride);
    }
    vector_projection(operands, out, out_stride);
}

/// The product on vectors of f32.
fn vector_projection(operands: &Projected<'_>, out: &mut [f32], out_stride: usize) {
    let &Projected { neurons: all, rank, scale, .. } = operands;
    let tiles = feature_tiles(rank, arch().dispatch(Widest));
    for first in (0..all).step_by(PACKED) {
        let neurons = first..all.min(first + PACKED);
        with_scratch(rank * neurons.len(), |packed| {
            packed.par_chunks_mut(rank * BLOCK).enumerate().for_each(|(block, packed)| {
                pack(operands, &tiles, first + block * BLOCK, packed);
            });
            let packed = &*packed;
            out.par_chunks_mut(out_stride * STRIP).enumerate().for_each(|(strip, out)| {
                with_scratch((rank + BLOCK) * STRIP + BLOCK * LANES, |scratch| {
                    let (sums, scratch) = scratch.split_at_mut(rank * STRIP);
                    let (tokens, transposed) = scratch.split_at_mut(BLOCK * STRIP);
                    if first == 0 {
                        sums.fill(0.0);
                    } else {
                        interleave(out, out_stride, rank, sums, STRIP);
                    }
                    let rows = strip * STRIP..strip * STRIP + out.len().div_ceil(out_stride);
                    let (tokens, _) = tokens.as_chunks_mut();
                    let (transposed, _) = transposed.as_chunks_mut();
                    for (packed, neuron) in packed.chunks(rank * BLOCK).zip(neurons.clone().step_by(BLOCK)) {
                        let tokens = &mut tokens[..packed.len() / rank];
                        decode(operands, rows.clone(), neuron, transposed, tokens);
                        arch().dispatch(Block { tokens, packed, tiles: &tiles, sums });
                    }
                    if neurons.end == all {
                        sums.iter_mut().for_each(|sum| *sum *= scale);
                    }
                    deinterleave(sums, STRIP, rank, out, out_stride);
                });
            });
        });
    }
}

/// Packs a block of Z, from a neuron on: one tile after the other, and in a tile one neuron after the other.
fn pack(operands: &Projected<'_>, tiles: &[Range<usize>], neuron: usize, packed: &mut [f32]) {
    let neurons = packed.len() / operands.rank;
    for tile in tiles {
        let packed = &mut packed[tile.start * neurons..tile.end * neurons];
        for (place, feature) in tile.clone().enumerate() {
            let row = &operands.features[feature * operands.stride + neuron..][..neurons];
            packed.iter_mut().skip(place).step_by(tile.len()).zip(row).for_each(|(out, z)| *out = *z);
        }
    }
}

/// Decodes a block of X, from a neuron on, for the tokens of a strip. Tokens that are not there are zeros. `transposed` is
/// memory for some of them.
fn decode(
    operands: &Projected<'_>,
    rows: Range<usize>,
    neuron: usize,
    transposed: &mut [[f32; LANES]],
    tokens: &mut [[f32; STRIP]],
) {
    let transposed = &mut transposed[..tokens.len()];
    for first in (0..STRIP).step_by(LANES) {
        let present = LANES.min(rows.len().saturating_sub(first));
        decode_transposed(operands.activations, rows.start + first, present, neuron, transposed);
        for (tokens, transposed) in tokens.iter_mut().zip(&*transposed) {
            tokens[first..first + LANES].copy_from_slice(transposed);
        }
    }
}

/// The widest tile.
struct Widest;

impl WithSimd for Widest {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        widest_tile::<S>(VECTORS)
    }
}

/// A block of neurons of a strip of tokens.
struct Block<'a> {
    tokens: &'a [[f32; STRIP]],
    packed: &'a [f32],
    tiles: &'a [Range<usize>],
    /// The sums over the neurons so far, feature after feature.
    sums: &'a mut [f32],
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let neurons = self.tokens.len();
        for tile in self.tiles {
            let packed = &self.packed[tile.start * neurons..tile.end * neurons];
            let (sums, _) = self.sums[tile.start * STRIP..tile.end * STRIP].as_chunks_mut();
            with_tile_width!(tile.len(), TILE => tile_products::<S, TILE>(simd, self.tokens, packed, sums));
        }
    }
}

/// The micro-kernel: adds the products of a strip of tokens with a tile that is `TILE` features wide to its sums.
#[inline(always)]
fn tile_products<S: Simd, const TILE: usize>(
    simd: S,
    tokens: &[[f32; STRIP]],
    packed: &[f32],
    sums: &mut [[f32; STRIP]],
) {
    let (packed, _) = packed.as_chunks::<TILE>();
    let width = VECTORS * S::F32_LANES;
    for first in (0..STRIP).step_by(width) {
        let mut products = [[simd.splat_f32s(0.0); VECTORS]; TILE];
        for (tokens, features) in tokens.iter().zip(packed) {
            let (x, _) = S::as_simd_f32s(&tokens[first..first + width]);
            let x: [S::f32s; VECTORS] = std::array::from_fn(|vector| x[vector]);
            for (feature, products) in products.iter_mut().enumerate() {
                let z = splat(simd, features, feature);
                for (product, x) in products.iter_mut().zip(x) {
                    *product = simd.mul_add_e_f32s(x, z, *product);
                }
            }
        }
        for (sums, products) in sums.iter_mut().zip(products) {
            let (sums, _) = S::as_mut_simd_f32s(&mut sums[first..first + width]);
            for (sum, product) in sums.iter_mut().zip(products) {
                *sum = simd.add_f32s(*sum, product);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ElementType;
    use crate::cpu::Elements;
    use crate::cpu::dense_product::tests::{encoded, numbers};

    type Way = fn(&Projected<'_>, &mut [f32], usize);

    /// Every way that this processor has.
    fn ways() -> Vec<(&'static str, Way)> {
        let mut ways: Vec<(&str, Way)> = vec![("vectors", vector_projection)];
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if amx_product::available() {
            ways.push(("AMX", amx_product::amx_projection));
        }
        ways
    }

    #[test]
    fn projections_of_any_shape_are_as_precise_as_in_f32() {
        for (name, way) in ways() {
            for (rows, neurons, rank) in [(1, 1, 1), (17, 33, 5), (70, 129, 33), (35, 2100, 48), (64, 515, 100)] {
                for element in ElementType::ALL {
                    // If features fit in bf16, AMX takes them in one part.
                    for bits in [8, 24] {
                        let case = format!("{name}, {rows} × {neurons} {element}, {rank} features of {bits} bits");
                        check(way, &case, element, [rows, neurons, rank], bits);
                    }
                }
            }
        }
    }

    fn check(way: Way, case: &str, element: ElementType, [rows, neurons, rank]: [usize; 3], bits: u32) {
        let (x_stride, stride, out_stride) = (neurons + 5, neurons + 3, rank + 2);
        let bytes = encoded(element, &numbers(rows * x_stride, 1).collect::<Vec<_>>());
        let mut x = vec![0f32; bytes.len() / element.bytes()];
        element.decode(&bytes, &mut x);
        // The numbers beside the features have all bits.
        let short = |(index, z): (usize, f32)| {
            if index % stride < neurons { f32::from_bits(z.to_bits() >> (24 - bits) << (24 - bits)) } else { z }
        };
        let z: Vec<f32> = numbers(rank * stride, 2).enumerate().map(short).collect();
        let activations = Elements::new(&bytes, element, x_stride as u32);
        let operands = Projected { activations, neurons, features: &z, stride, rank, scale: 0.75 };
        let mut out = vec![f32::NAN; rows * out_stride];
        way(&operands, &mut out, out_stride);
        for (index, &found) in out.iter().enumerate().filter(|(index, _)| index % out_stride < rank) {
            let (token, feature) = (index / out_stride, index % out_stride);
            let products = (0..neurons)
                .map(|neuron| 0.75 * f64::from(x[token * x_stride + neuron]) * f64::from(z[feature * stride + neuron]));
            let (expected, size) = (products.clone().sum::<f64>(), products.map(f64::abs).sum::<f64>());
            assert!(
                (f64::from(found) - expected).abs() <= 5e-7 * size + 1e-30,
                "{case}, {token}, {feature}: {found}, not {expected}"
            );
        }
    }
}
