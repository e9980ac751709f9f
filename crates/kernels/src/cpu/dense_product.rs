//! The dense product of tall, skinny operands, YᵀX, in the way that is fastest on this processor.

use faer::MatMut;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::amx_product;
use super::operands::Operands;
use super::packed_product;
use super::words::Processor;
use crate::Precision;

/// Whether the dense products of the CPU twins run on AMX's tiles. They do if the processor has them, the system lets
/// this process use them, `UNMIX_AMX` is not `0`, and vectors are not restricted. Results depend on it in their last
/// digits.
pub fn uses_amx() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    return amx_product::available();
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

/// Whether dense products of operands that may be rounded run on vectors of bf16 pairs. They do if the processor has
/// AVX512-BF16, is not one of Intel, does not use AMX, and vectors are not restricted. Results depend on it in their last
/// digits. Intel's processors multiply pairs more slowly than f32.
pub fn multiplies_bf16() -> bool {
    !uses_amx() && Processor::bf16().is_some()
}

/// out (+)= scale · XᵀY as [d, K], column-major with contiguous columns. Every sum is taken in the same order, whatever
/// the number of threads.
pub(crate) fn dense_product(operands: &Operands<'_>, out: MatMut<'_, f32>, accumulate: bool) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if !operands.symmetric && uses_amx() {
        return amx_product::amx_product(operands, out, accumulate);
    }
    vector_product(operands, out, accumulate);
}

/// The product on vectors, of rounded operands if they may be rounded and that is faster.
fn vector_product(operands: &Operands<'_>, out: MatMut<'_, f32>, accumulate: bool) {
    let pairs = if operands.precision == Precision::Bf16 { Processor::bf16() } else { None };
    packed_product::packed_product(pairs.unwrap_or_else(Processor::f32), operands, out, accumulate);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ElementType;
    use crate::cpu::Elements;
    #[cfg(target_arch = "x86_64")]
    use crate::cpu::bf16_pairs::Bf16Pairs;

    /// Numbers without a pattern, some of them zero.
    pub fn numbers(count: usize, seed: u32) -> impl Iterator<Item = f32> {
        let mut state = seed;
        (0..count).map(move |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            if state >> 28 == 0 { 0.0 } else { value * value * value }
        })
    }

    type Way = fn(&Operands<'_>, MatMut<'_, f32>, bool);

    /// Every way that this processor has.
    fn ways() -> Vec<(&'static str, Way)> {
        let mut ways: Vec<(&str, Way)> = vec![("vectors", vector_product)];
        #[cfg(target_arch = "x86_64")]
        if Bf16Pairs::new().is_some() {
            ways.push(("pairs", pair_product));
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if amx_product::available() {
            ways.push(("AMX", amx_product::amx_product));
        }
        ways
    }

    /// The product on pairs, also where they are not fast. They only serve operands that may be rounded.
    #[cfg(target_arch = "x86_64")]
    fn pair_product(operands: &Operands<'_>, out: MatMut<'_, f32>, accumulate: bool) {
        let pairs = Bf16Pairs::new().filter(|_| operands.precision == Precision::Bf16);
        let processor = pairs.map_or_else(Processor::f32, Processor::Bf16);
        packed_product::packed_product(processor, operands, out, accumulate);
    }

    pub fn encoded(element: ElementType, values: &[f32]) -> Vec<u8> {
        let bytes = |&value: &f32| match element {
            ElementType::F32 => value.to_le_bytes().to_vec(),
            ElementType::F16 => half::f16::from_f32(value).to_le_bytes().to_vec(),
            ElementType::Bf16 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
        };
        values.iter().flat_map(bytes).collect()
    }

    #[test]
    fn sums_of_any_shape_are_as_precise_as_asked_for() {
        for (name, way) in ways() {
            for shape in [(1, 1, 1), (33, 17, 5), (129, 300, 33), (1100, 70, 48), (64, 515, 100)] {
                for element in ElementType::ALL {
                    // Each operand may lose half a unit of its 8 bits.
                    for (precision, bound) in [(Precision::F32, 5e-7), (Precision::Bf16, 2f64.powi(-8) + 5e-7)] {
                        let case = format!("{name}, {shape:?} {element} in {precision:?}");
                        check(way, &case, element, shape, precision, bound);
                    }
                }
            }
        }
    }

    /// Compares the product of one way with f64, for `(rows, neurons, rank)`.
    fn check(
        way: Way,
        case: &str,
        element: ElementType,
        (rows, neurons, rank): (usize, usize, usize),
        precision: Precision,
        bound: f64,
    ) {
        let (first_row, stride, y_stride) = (3, neurons + 5, rank + 2);
        let bytes = encoded(element, &numbers((first_row + rows) * stride, 1).collect::<Vec<_>>());
        let y: Vec<f32> = numbers(rows * y_stride, 2).map(f32::abs).collect();
        let activations = Elements::new(&bytes, element, stride as u32);
        let whole = whole(activations, &y, y_stride);
        let operands = Operands { first_row, rank, scale: 0.75, precision, ..whole };
        hold_against_f64(case, &operands, neurons, bound, |out, accumulate| way(&operands, out, accumulate));
    }

    /// The product of all rows of X and of Y, which is `rank` wide, to f32 precision.
    pub fn whole<'a>(activations: Elements<'a>, coefficients: &'a [f32], rank: usize) -> Operands<'a> {
        Operands {
            activations,
            first_row: 0,
            coefficients,
            stride: rank,
            rank,
            rows: coefficients.len() / rank,
            scale: 1.0,
            symmetric: false,
            precision: Precision::F32,
        }
    }

    /// Compares a product of `neurons` neurons with f64, both when it replaces the result and when it is added to it.
    /// The error may be at most `bound` of the sum of magnitudes.
    pub fn hold_against_f64(
        case: &str,
        operands: &Operands<'_>,
        neurons: usize,
        bound: f64,
        product: impl Fn(MatMut<'_, f32>, bool),
    ) {
        let &Operands { coefficients: y, stride, rank, rows, scale, .. } = operands;
        let mut x = vec![0f32; rows * neurons];
        for (row, x) in x.chunks_exact_mut(neurons).enumerate() {
            operands.activations.decode(operands.first_row + row, 0, x);
        }
        let before: Vec<f32> = numbers(neurons * rank, 3).collect();
        for accumulate in [false, true] {
            let mut out = before.clone();
            product(MatMut::from_column_major_slice_mut(&mut out, neurons, rank), accumulate);
            for (index, &found) in out.iter().enumerate() {
                let (feature, neuron) = (index / neurons, index % neurons);
                let products = (0..rows).map(|row| {
                    f64::from(scale) * f64::from(x[row * neurons + neuron]) * f64::from(y[row * stride + feature])
                });
                let start = if accumulate { f64::from(before[index]) } else { 0.0 };
                let expected = start + products.clone().sum::<f64>();
                let (size, kept) = (products.map(f64::abs).sum::<f64>(), 5e-7 * start.abs());
                assert!(
                    (f64::from(found) - expected).abs() <= bound * size + kept + 1e-30,
                    "{case}, {feature}, {neuron}: {found}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn half_of_a_symmetric_product_is_that_of_the_whole() {
        let (rows, rank) = (150, 83);
        let y: Vec<f32> = numbers(rows * rank, 7).collect();
        let product = |way: Way, symmetric| {
            let activations = Elements::new(bytemuck::cast_slice(&y), ElementType::F32, rank as u32);
            let operands = Operands { symmetric, ..whole(activations, &y, rank) };
            let mut out = vec![f32::NAN; rank * rank];
            way(&operands, MatMut::from_column_major_slice_mut(&mut out, rank, rank), false);
            out
        };
        for (name, way) in ways() {
            let (half, whole) = (product(way, true), product(way, false));
            for feature in 0..rank {
                for neuron in 0..=feature {
                    let index = feature * rank + neuron;
                    assert_eq!(half[index], whole[index], "{name}: {feature}, {neuron}");
                }
            }
        }
    }
}
