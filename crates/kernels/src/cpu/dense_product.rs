//! The dense product of tall, skinny operands, YᵀX, in the way that is fastest on this processor.

use faer::MatMut;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::amx_product;
use super::operands::Operands;
use super::packed_product;
use super::product_instructions::ProductInstructions;
use super::words::Processor;
use crate::Precision;

/// What the dense products of the CPU twins run on, beyond f32 vectors: the first of [`ProductInstructions`] that is there,
/// unless vectors are restricted. Results depend on it in their last digits.
pub fn product_instructions() -> Option<ProductInstructions> {
    if uses_amx() { Some(ProductInstructions::Amx) } else { Processor::rounding().and_then(Processor::instructions) }
}

fn uses_amx() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    return amx_product::available();
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
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
    let rounding = if operands.precision == Precision::Bf16 { Processor::rounding() } else { None };
    packed_product::packed_product(rounding.unwrap_or_else(Processor::f32), operands, out, accumulate);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ElementType;
    use crate::cpu::Elements;
    #[cfg(target_arch = "x86_64")]
    use crate::cpu::bf16_pairs::Bf16Pairs;
    #[cfg(target_arch = "x86_64")]
    use crate::cpu::f16_pairs::F16Pairs;

    /// Numbers without a pattern, some of them zero.
    pub fn numbers(count: usize, seed: u32) -> impl Iterator<Item = f32> {
        let mut state = seed;
        (0..count).map(move |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            if state >> 28 == 0 { 0.0 } else { value * value * value }
        })
    }

    type Way = Box<dyn Fn(&Operands<'_>, MatMut<'_, f32>, bool)>;

    /// Every way that this processor has, also if it is not the fastest one.
    fn ways() -> Vec<(&'static str, Way)> {
        let mut ways: Vec<(&str, Way)> = vec![("f32", rounding_on(Processor::f32()))];
        #[cfg(target_arch = "x86_64")]
        {
            ways.extend(Bf16Pairs::new().map(|pairs| ("bf16", rounding_on(Processor::Bf16(pairs)))));
            ways.extend(F16Pairs::new().map(|pairs| ("f16", rounding_on(Processor::F16(pairs)))));
        }
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if amx_product::available() {
            ways.push(("AMX", Box::new(amx_product::amx_product)));
        }
        ways
    }

    /// The product on vectors. Operands that may be rounded are multiplied by `processor`.
    fn rounding_on(processor: Processor) -> Way {
        Box::new(move |operands, out, accumulate| {
            let rounds = operands.precision == Precision::Bf16;
            packed_product::packed_product(
                if rounds { processor } else { Processor::f32() },
                operands,
                out,
                accumulate,
            );
        })
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
                        check(&way, &case, element, shape, precision, bound);
                    }
                }
            }
        }
    }

    /// Compares the product of one way with f64, for `(rows, neurons, rank)`.
    fn check(
        way: &Way,
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

    /// A name, X and Y.
    type Case = (&'static str, Box<dyn Fn(usize, usize, f32) -> f32>, Box<dyn Fn(usize, usize, f32) -> f32>);

    /// Operands that are hard to round. X and Y are made of a token, a neuron or feature, and a number below 1.
    fn hard_operands() -> Vec<Case> {
        fn case(
            name: &'static str,
            x: impl Fn(usize, usize, f32) -> f32 + 'static,
            y: impl Fn(usize, usize, f32) -> f32 + 'static,
        ) -> Case {
            (name, Box::new(x), Box::new(y))
        }
        let outlier = |token: usize| if token == 417 { 1e4 } else { 1.0 };
        vec![
            case("one token is large", move |t, _, v| v * outlier(t), move |t, _, v| v * outlier(t)),
            case("one token is large in X", move |t, _, v| v * outlier(t), |_, _, v| v),
            case("one token is large in Y", |_, _, v| v, move |t, _, v| v * outlier(t)),
            case(
                "neurons and features differ in size",
                |_, j, v| v * 10f32.powi(j as i32 % 9 - 4),
                |_, k, v| v * 10f32.powi(k as i32 % 13 - 6),
            ),
            case(
                "tokens differ in size",
                |t, _, v| v * 4f32.powi(t as i32 % 7 - 3),
                |t, _, v| v * 3f32.powi(t as i32 % 5 - 2),
            ),
            case("all numbers have one sign", |_, _, v| v.abs() + 0.1, |_, _, v| v + 0.1),
            case("all numbers are the same", |_, _, _| 1.1, |_, _, _| 0.7),
            case("all numbers are as large as f16 has them", |_, _, _| 65504.0, |_, _, _| 1.0),
            case("large numbers alternate in sign", |t, _, _| if t % 2 == 0 { 6e4 } else { -6e4 }, |_, _, _| 0.9),
            case("zeros", |_, _, _| 0.0, |_, _, _| 0.0),
        ]
    }

    /// Compares the products of hard operands times `size` with f64.
    fn hold_hard_operands(way: &Way, name: &str, element: ElementType, size: [f32; 2]) {
        let (rows, neurons, rank) = (1000, 70, 23);
        for (case, x, y) in hard_operands() {
            let at = |width: usize, index: usize| (index / width, index % width);
            let x = numbers(rows * neurons, 1).enumerate().map(|(index, value)| {
                let (token, neuron) = at(neurons, index);
                x(token, neuron, value) * size[0]
            });
            let y: Vec<f32> = numbers(rows * rank, 2)
                .enumerate()
                .map(|(index, value)| {
                    let (token, feature) = at(rank, index);
                    y(token, feature, value.abs()) * size[1]
                })
                .collect();
            let bytes = encoded(element, &x.collect::<Vec<_>>());
            let activations = Elements::new(&bytes, element, neurons as u32);
            let operands = Operands { precision: Precision::Bf16, ..whole(activations, &y, rank) };
            let case = format!("{name}, {case}, {element} times {size:?}");
            // A single product may dominate, and each operand may lose half a unit of its 8 bits.
            let bound = 2f64.powi(-7) + 5e-7;
            hold_against_f64(&case, &operands, neurons, bound, |out, accumulate| way(&operands, out, accumulate));
        }
    }

    #[test]
    fn rounding_loses_little_of_uneven_operands() {
        for (name, way) in ways() {
            for element in ElementType::ALL {
                hold_hard_operands(&way, name, element, [1.0; 2]);
            }
        }
    }

    #[test]
    fn rounding_loses_little_of_tiny_and_huge_operands() {
        for (name, way) in ways() {
            for element in [ElementType::F32, ElementType::Bf16] {
                for size in [[1e-30, 1.0], [1e-6, 1e-6], [1e6, 1e6], [1e-24, 1e30], [1e30, 1e-24], [1e20, 1e6]] {
                    hold_hard_operands(&way, name, element, size);
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_with_its_neuron_or_feature() {
        let (rows, neurons, rank) = (300, 70, 23);
        for (name, way) in ways() {
            for element in ElementType::ALL {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut x: Vec<f32> = numbers(rows * neurons, 1).collect();
                    let mut y: Vec<f32> = numbers(rows * rank, 2).map(|value| value.abs() + 0.1).collect();
                    x[200 * neurons + 37] = bad;
                    y[100 * rank + 11] = bad;
                    let bytes = encoded(element, &x);
                    let activations = Elements::new(&bytes, element, neurons as u32);
                    let operands = Operands { precision: Precision::Bf16, ..whole(activations, &y, rank) };
                    let mut out = vec![0f32; neurons * rank];
                    way(&operands, MatMut::from_column_major_slice_mut(&mut out, neurons, rank), false);
                    for (index, &value) in out.iter().enumerate() {
                        let (feature, neuron) = (index / neurons, index % neurons);
                        let expected = feature != 11 && neuron != 37;
                        assert_eq!(
                            value.is_finite(),
                            expected,
                            "{name}, {element}, {bad}: {feature}, {neuron}: {value}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn half_of_a_symmetric_product_is_that_of_the_whole() {
        let (rows, rank) = (150, 83);
        let y: Vec<f32> = numbers(rows * rank, 7).collect();
        let product = |way: &Way, symmetric| {
            let activations = Elements::new(bytemuck::cast_slice(&y), ElementType::F32, rank as u32);
            let operands = Operands { symmetric, ..whole(activations, &y, rank) };
            let mut out = vec![f32::NAN; rank * rank];
            way(&operands, MatMut::from_column_major_slice_mut(&mut out, rank, rank), false);
            out
        };
        for (name, way) in ways() {
            let (half, whole) = (product(&way, true), product(&way, false));
            for feature in 0..rank {
                for neuron in 0..=feature {
                    let index = feature * rank + neuron;
                    assert_eq!(half[index], whole[index], "{name}: {feature}, {neuron}");
                }
            }
        }
    }
}
