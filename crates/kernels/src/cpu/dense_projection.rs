//! The dense product X Zᵀ of two operands whose rows hold the values of neurons, in the way that is fastest on this
//! processor.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::amx_product;
use super::projected::Projected;
use super::with_scratch;

/// Tokens that a thread decodes at once.
const TILE: usize = 64;

/// out = scale · X Zᵀ, in rows `out_stride` apart.
pub(crate) fn dense_projection(operands: &Projected<'_>, out: &mut [f32], out_stride: usize) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if amx_product::available() {
        return amx_product::amx_projection(operands, out, out_stride);
    }
    decoded_projection(operands, out, out_stride);
}

/// Decodes X tile by tile, and multiplies with faer.
fn decoded_projection(operands: &Projected<'_>, out: &mut [f32], out_stride: usize) {
    let &Projected { activations, neurons, features, stride, rank, scale } = operands;
    let features = MatRef::from_row_major_slice_with_stride(features, rank, neurons, stride);
    out.par_chunks_mut(out_stride * TILE).enumerate().for_each(|(tile, out)| {
        let count = out.len() / out_stride;
        with_scratch(count * neurons, |values| {
            for (row, values) in values.chunks_exact_mut(neurons).enumerate() {
                activations.decode(tile * TILE + row, 0, values);
            }
            let tokens = MatRef::from_column_major_slice(values, neurons, count);
            let out = MatMut::from_column_major_slice_with_stride_mut(out, rank, count, out_stride);
            matmul(out, Accum::Replace, features, tokens, scale, Par::Seq);
        });
    });
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
        let mut ways: Vec<(&str, Way)> = vec![("decoded", decoded_projection)];
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
