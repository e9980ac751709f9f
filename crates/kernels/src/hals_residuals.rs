//! What is left of the cross product for a range of features, before coordinate descent (HALS) on them.

use faer::MatMut;
use pulp::{Simd, WithSimd};

use crate::cpu::{LANES, arch, contiguous, deinterleave, for_each_nonzero, for_each_share, with_scratch};
use crate::variant::VOTING_32;
use crate::workgroups::units_of_a_dispatch;
use crate::{
    Access, Call, Cost, CpuTwin, ElementType, Features, Kernel, Matrix, Memory, Moved, Needs, Recording, Variant,
};

/// Features that a workgroup handles, from a multiple of four on.
const FEATURES: u32 = 64;
/// The portable workgroup, which handles 64 neurons.
const PORTABLE: Variant = Variant { tile: [64, FEATURES, 1], ..Variant::PORTABLE };

/// The kernel's metadata. The tile of a variant is the neurons and the features of a workgroup.
pub static HALS_RESIDUALS: Kernel = Kernel {
    name: "hals_residuals",
    access: &[Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: &[
        // More neurons share the weights.
        Variant {
            name: "neurons_112",
            features: &["neurons_112", "votes"],
            tile: [112, FEATURES, 1],
            // One for a core has as many threads as two of the others.
            enough_workgroups: 112,
            needs: Needs { threads: 448, workgroup_bytes: 24 << 10, ..VOTING_32.needs },
            ..VOTING_32
        },
        Variant { tile: PORTABLE.tile, ..VOTING_32 },
        PORTABLE,
    ],
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    first_feature: u32,
    count: u32,
    rank: u32,
    columns: u32,
    stride: u32,
    gram_stride: u32,
}

/// Records crossₖ ← crossₖ − Σ C_kl zₗ, the sum over all l ≠ k, for `count` features k from `first` on. `cross` = YᵀX
/// [K, d], C = `coefficient_gram` [K, K] (symmetric), Z = `features` [K, d].
pub fn hals_residuals(
    recording: &mut Recording,
    cross: Matrix,
    coefficient_gram: Matrix,
    features: &Features,
    first: u32,
    count: u32,
) {
    let Features { dense: features, kept, .. } = *features;
    let flops = 2 * u64::from(features.rows) * u64::from(kept);
    let range = units_of_a_dispatch(flops, FEATURES);
    let end = first + count;
    for first in (first..end).step_by(range as usize) {
        let count = range.min(end - first);
        recording.dispatch(
            &HALS_RESIDUALS,
            ElementType::F32,
            &Params {
                first_feature: first,
                count,
                rank: features.rows,
                columns: features.columns,
                stride: features.stride,
                gram_stride: coefficient_gram.stride,
            },
            &[coefficient_gram.resource, features.resource, cross.resource],
            [features.columns, first % 4 + count, 1],
            Cost {
                moved: vec![
                    Moved { read: coefficient_gram.row_range(first, count), written: 0..0 },
                    features.read(),
                    Moved { read: cross.row_range(first, count), written: cross.row_range(first, count) },
                ],
                flops: u64::from(count) * flops,
            },
        );
    }
}

/// Neurons whose sums a thread holds at once. With those of sixteen features they fit in the first-level cache.
const SEGMENT_NEURONS: usize = 256;

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [gram, features, cross] = bindings else { unreachable!() };
    let [first, count, rank] = [p.first_feature, p.count, p.rank].map(|n| n as usize);
    let [columns, stride] = [p.columns, p.stride].map(|n| n as usize);
    let rows = &mut cross.write::<f32>()[first * stride..(first + count) * stride];
    let weights = weights(gram.read(), p.gram_stride as usize, rank, first..first + count);
    let features = &features.read::<f32>()[..rank * stride];
    let out = MatMut::from_column_major_slice_with_stride_mut(rows, columns, count, stride);
    for_each_share(out, usize::MAX, LANES, &|neuron, mut out| {
        let blocks = count.div_ceil(LANES);
        with_scratch((blocks + 1) * SEGMENT_NEURONS * LANES, |scratch| {
            let (sums, rows) = scratch.split_at_mut(blocks * SEGMENT_NEURONS * LANES);
            for start in (0..out.nrows()).step_by(SEGMENT_NEURONS) {
                let width = SEGMENT_NEURONS.min(out.nrows() - start);
                sums.fill(0.0);
                let segment = Segment { features, stride, first: neuron + start, width, weights: &weights, blocks };
                arch().dispatch(Sum { segment: &segment, sums });
                for (block, sums) in sums.chunks_exact(SEGMENT_NEURONS * LANES).enumerate() {
                    let present = LANES.min(count - block * LANES);
                    let rows = &mut rows[..present * SEGMENT_NEURONS];
                    deinterleave(&sums[..width * LANES], LANES, width, rows, SEGMENT_NEURONS);
                    for (row, sums) in rows.chunks_exact(SEGMENT_NEURONS).enumerate() {
                        let out = contiguous(out.as_mut().col_mut(block * LANES + row));
                        out[start..start + width].iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                    }
                }
            }
        });
    });
}

/// −C_kl for each l, with those of all k in `range` side by side, in blocks of [`LANES`]. Where l = k, and beyond the
/// range, they are zero.
fn weights(gram: &[f32], stride: usize, rank: usize, range: std::ops::Range<usize>) -> Vec<[f32; LANES]> {
    let blocks = range.len().div_ceil(LANES);
    let mut weights = vec![[0.0; LANES]; rank * blocks];
    for (index, k) in range.enumerate() {
        for (l, &weight) in gram[k * stride..][..rank].iter().enumerate().filter(|(l, _)| *l != k) {
            weights[l * blocks + index / LANES][index % LANES] = -weight;
        }
    }
    weights
}

/// Some neighbouring neurons of all features.
struct Segment<'a> {
    features: &'a [f32],
    stride: usize,
    first: usize,
    width: usize,
    weights: &'a [[f32; LANES]],
    blocks: usize,
}

/// Adds up what the features take of the segment. For each block of features there are [`SEGMENT_NEURONS`] rows of
/// sums, one for each neuron.
struct Sum<'a> {
    segment: &'a Segment<'a>,
    sums: &'a mut [f32],
}

impl WithSimd for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match LANES / S::F32_LANES {
            1 => self.run::<S, 1>(simd),
            2 => self.run::<S, 2>(simd),
            4 => self.run::<S, 4>(simd),
            _ => self.run::<pulp::Scalar, LANES>(pulp::Scalar::new()),
        }
    }
}

impl Sum<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, simd: S) {
        let &Segment { features, stride, first, width, weights, blocks } = self.segment;
        let (sums, _) = S::as_mut_simd_f32s(self.sums);
        let (sums, _) = sums.as_chunks_mut::<V>();
        let mut found = [(0, 0.0); SEGMENT_NEURONS];
        for (feature, weights) in features.chunks_exact(stride).zip(weights.chunks_exact(blocks)) {
            let mut count = 0;
            for_each_nonzero(&feature[first..first + width], |place, value| {
                found[count] = (place, value);
                count += 1;
            });
            for (sums, weights) in sums.chunks_exact_mut(SEGMENT_NEURONS).zip(weights) {
                // A dead feature does not count, whatever its values are.
                if weights.iter().all(|&weight| weight == 0.0) {
                    continue;
                }
                let (weights, _) = S::as_simd_f32s(weights);
                for &(place, value) in &found[..count] {
                    let value = simd.splat_f32s(value);
                    for (sum, &weight) in sums[place % SEGMENT_NEURONS].iter_mut().zip(weights) {
                        *sum = simd.mul_add_e_f32s(value, weight, *sum);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Vectors;

    #[test]
    fn every_kind_of_vectors_sums() {
        for (rank, count, width) in [(1, 1, 1), (7, 3, 40), (40, 33, 256), (20, 20, 255)] {
            let number = |i: usize| ((i * 7919 + 13) % 101) as f32 / 101.0 - 0.5;
            let (first, stride) = (5, width + 9);
            let features: Vec<f32> = (0..rank * stride).map(|i| if i % 3 == 0 { number(i) } else { 0.0 }).collect();
            let gram: Vec<f32> = (0..rank * rank).map(|i| number(i / rank + i % rank)).collect();
            let weights = weights(&gram, rank, rank, rank - count..rank);
            let blocks = count.div_ceil(LANES);
            let segment = Segment { features: &features, stride, first, width, weights: &weights, blocks };
            for vectors in Vectors::ALL {
                with_scratch(blocks * SEGMENT_NEURONS * LANES, |sums| {
                    sums.fill(0.0);
                    vectors.arch().dispatch(Sum { segment: &segment, sums });
                    for (index, place) in (0..count).flat_map(|k| (0..width).map(move |j| (k, j))) {
                        let k = rank - count + index;
                        let term =
                            |l: usize| -f64::from(gram[k * rank + l]) * f64::from(features[l * stride + first + place]);
                        let expected: f64 = (0..rank).filter(|&l| l != k).map(term).sum();
                        let found = sums[(index / LANES * SEGMENT_NEURONS + place) * LANES + index % LANES];
                        assert!((f64::from(found) - expected).abs() < 1e-5, "{vectors:?}: {found} for {expected}");
                    }
                });
            }
        }
    }
}
