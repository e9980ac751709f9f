//! What a factorization leaves of each token, neuron by neuron.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::{Elements, LANES, arch, decode_transposed, interleave, magnitude, with_scratch};
use crate::{Access, BufferId, Call, Cost, CpuTwin, Kernel, Matrix, Memory, Moved, PORTABLE, Recording, workgroups};

/// Tokens that a workgroup takes.
const TOKENS: u32 = 4;

/// The kernel's metadata.
pub static SQUARED_RESIDUAL: Kernel = Kernel {
    name: "squared_residual",
    access: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: true,
    variants: PORTABLE,
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    columns: u32,
    stride: u32,
    rank: u32,
    coefficient_stride: u32,
    feature_stride: u32,
    scale: f32,
    first: u32,
}

/// Records residuals\[i\] = ‖scale · xᵢ − yᵢZ‖² for X = `activations` [rows, d], Y = `coefficients` [rows, K] and Z =
/// `features` [K, d]. [`token_residuals`](crate::token_residuals()) subtracts sums that nearly cancel. This kernel
/// subtracts neuron by neuron, so that small residuals keep their digits. The CPU skips neurons that a feature does not
/// keep.
pub fn squared_residual(
    recording: &mut Recording,
    activations: Matrix,
    coefficients: Matrix,
    features: Matrix,
    residuals: BufferId,
    scale: f32,
) {
    assert_eq!(
        (activations.rows, activations.columns, coefficients.columns),
        (coefficients.rows, features.columns, features.rows),
        "squared residual: shapes"
    );
    recording.dispatch(
        &SQUARED_RESIDUAL,
        activations.element,
        &Params {
            rows: activations.rows,
            columns: activations.columns,
            stride: activations.stride,
            rank: features.rows,
            coefficient_stride: coefficients.stride,
            feature_stride: features.stride,
            scale,
            first: activations.first,
        },
        &[activations.resource, coefficients.resource, features.resource, residuals.into()],
        [workgroups(activations.rows.div_ceil(TOKENS).into()), 1, 1],
        Cost {
            moved: vec![
                activations.read(),
                coefficients.read(),
                features.read(),
                Moved::written(u64::from(activations.rows) * 4),
            ],
            flops: 2 * u64::from(activations.rows) * u64::from(activations.columns) * u64::from(features.rows + 1),
        },
    );
}

/// Neurons whose residuals of [`LANES`] tokens stay in the first-level cache.
const SEGMENT_NEURONS: usize = 512;
/// Neurons over which one f32 sum is taken. These sums are added in f64.
const SUMMED: usize = 32;

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let (p, element) = (call.params::<Params>(), call.element);
    let [activations, coefficients, features, residuals] = bindings else { unreachable!() };
    let (rank, stride) = (p.rank as usize, p.feature_stride as usize);
    arch().dispatch(Twin {
        activations: Elements::from(activations.bytes(), p.first, element, p.stride),
        coefficients: coefficients.read::<f32>(),
        coefficient_stride: p.coefficient_stride as usize,
        segments: &segments(&features.read::<f32>()[..rank * stride], stride, p.columns as usize),
        rank,
        scale: p.scale,
        residuals: &mut residuals.write::<f32>()[..p.rows as usize],
    });
}

/// The nonzeros of all features among neighbouring neurons.
struct Segment {
    /// The first neuron.
    first: usize,
    /// Number of neurons.
    width: usize,
    /// Features with nonzeros here, each with the end of its entries.
    features: Vec<(usize, usize)>,
    /// The entries of the features, one feature after the other: place in the segment, and value.
    entries: Vec<(u32, f32)>,
}

fn segments(features: &[f32], stride: usize, neurons: usize) -> Vec<Segment> {
    let starts: Vec<usize> = (0..neurons).step_by(SEGMENT_NEURONS).collect();
    let segment = |&first: &usize| {
        let width = SEGMENT_NEURONS.min(neurons - first);
        let mut segment = Segment { first, width, features: Vec::new(), entries: Vec::new() };
        for (feature, row) in features.chunks_exact(stride).enumerate() {
            let before = segment.entries.len();
            // Most neurons of most features are zero, so sixteen at once are skipped.
            for (at, values) in (0..).step_by(LANES).zip(row[first..first + width].chunks(LANES)) {
                if values.iter().fold(0, |bits, value| bits | magnitude(*value)) != 0 {
                    let nonzeros = (at..).zip(values).filter(|(_, value)| **value != 0.0);
                    segment.entries.extend(nonzeros.map(|(place, &value)| (place, value)));
                }
            }
            if segment.entries.len() > before {
                segment.features.push((feature, segment.entries.len()));
            }
        }
        segment
    };
    starts.par_iter().map(segment).collect()
}

struct Twin<'a> {
    activations: Elements<'a>,
    coefficients: &'a [f32],
    coefficient_stride: usize,
    segments: &'a [Segment],
    rank: usize,
    scale: f32,
    residuals: &'a mut [f32],
}

impl WithSimd for Twin<'_> {
    type Output = ();

    fn with_simd<S: Simd>(self, simd: S) {
        let (stride, rank) = (self.coefficient_stride, self.rank);
        self.residuals.par_chunks_mut(LANES).enumerate().for_each(|(block, residuals)| {
            let (first, tokens) = (block * LANES, residuals.len());
            let rows = &self.coefficients[first * stride..(first + tokens) * stride];
            with_scratch((rank.next_multiple_of(LANES) + SEGMENT_NEURONS) * LANES, |scratch| {
                let (neurons, coefficients) = scratch.as_chunks_mut::<LANES>().0.split_at_mut(SEGMENT_NEURONS);
                coefficients.fill([0.0; LANES]);
                interleave(rows, stride, rank, coefficients.as_flattened_mut(), LANES);
                let mut totals = [0f64; LANES];
                for segment in self.segments {
                    let neurons = &mut neurons[..segment.width];
                    decode_transposed(self.activations, first, tokens, segment.first, neurons);
                    simd.vectorize(
                        #[inline(always)]
                        || segment.add_squares(neurons, coefficients, self.scale, &mut totals),
                    );
                }
                residuals.iter_mut().zip(totals).for_each(|(residual, total)| *residual = total as f32);
            });
        });
    }
}

impl Segment {
    /// Turns the activations in this segment's `neurons` into residuals, and adds their squares to `totals`.
    #[inline(always)]
    fn add_squares(
        &self,
        neurons: &mut [[f32; LANES]],
        coefficients: &[[f32; LANES]],
        scale: f32,
        totals: &mut [f64; LANES],
    ) {
        neurons.as_flattened_mut().iter_mut().for_each(|value| *value *= scale);
        let mut start = 0;
        for &(feature, end) in &self.features {
            let coefficients = &coefficients[feature];
            if coefficients.iter().any(|&y| y != 0.0) {
                for &(place, value) in &self.entries[start..end] {
                    for (residual, y) in neurons[place as usize].iter_mut().zip(coefficients) {
                        *residual -= value * y;
                    }
                }
            }
            start = end;
        }
        for residuals in neurons.chunks(SUMMED) {
            let mut sums = [0f32; LANES];
            for residuals in residuals {
                for (sum, &residual) in sums.iter_mut().zip(residuals) {
                    *sum += residual * residual;
                }
            }
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total += f64::from(sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ElementType;
    use crate::cpu::Vectors;

    #[test]
    fn every_kind_of_vectors_subtracts_neuron_by_neuron() {
        // More neurons than a segment has, features without a neuron in a segment, and tokens that are not a multiple
        // of the lanes.
        for (rows, neurons, rank) in [(1, 1, 1), (35, 1531, 13), (18, 513, 3)] {
            let number = |i: usize| ((i * 7919 + 13) % 101) as f32 / 101.0 - 0.5;
            let x: Vec<f32> = (0..rows * neurons).map(number).collect();
            let y: Vec<f32> = (0..rows * rank).map(|i| number(5 * i).max(0.0)).collect();
            let z: Vec<f32> =
                (0..rank * neurons).map(|i| if i.is_multiple_of(7) { number(3 * i) } else { 0.0 }).collect();
            for vectors in Vectors::ALL {
                let mut residuals = vec![0f32; rows];
                vectors.arch().dispatch(Twin {
                    activations: Elements::new(bytemuck::cast_slice(&x), ElementType::F32, neurons as u32),
                    coefficients: &y,
                    coefficient_stride: rank,
                    segments: &segments(&z, neurons, neurons),
                    rank,
                    scale: 2.0,
                    residuals: &mut residuals,
                });
                for (i, &found) in residuals.iter().enumerate() {
                    let exact: f64 = (0..neurons)
                        .map(|j| {
                            let sum: f64 =
                                (0..rank).map(|k| f64::from(y[i * rank + k]) * f64::from(z[k * neurons + j])).sum();
                            (2.0 * f64::from(x[i * neurons + j]) - sum).powi(2)
                        })
                        .sum();
                    assert!((f64::from(found) - exact).abs() < 1e-5 * exact, "{vectors:?}: {found} for {exact} at {i}");
                }
            }
        }
    }
}
