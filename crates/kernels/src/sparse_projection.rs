//! Projections P = X Zᵀ of many tokens onto features that keep few neurons: X is read once, and only the kept neurons are
//! multiplied.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::{Elements, LANES, decode_transposed, params, with_scratch};
use crate::{Access, BufferId, Cost, ElementType, Kernel, Matrix, Memory, Moved, PORTABLE, Recording, workgroups};

/// Features that a workgroup handles, of as many tokens as elements fit in 16 bytes.
const FEATURES: u32 = 128;

/// The kernel's metadata.
pub static SPARSE_PROJECTION: Kernel = Kernel {
    name: "sparse_projection",
    access: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: true,
    variants: PORTABLE,
    twin,
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Params {
    rows: u32,
    stride: u32,
    rank: u32,
    kept: u32,
    out_stride: u32,
    scale: f32,
}

/// Records projections\[i, k\] = scale · Σⱼ kept_values\[k, j\] · x\[i, kept_indices\[k, j\]\], where each of the `rank`
/// features keeps `kept` neurons, ascending. For few tokens, [`gather_projection`](crate::gather_projection()) is faster.
pub fn sparse_projection(
    recording: &mut Recording,
    activations: Matrix,
    kept_indices: BufferId,
    kept_values: BufferId,
    kept: u32,
    projections: Matrix,
    scale: f32,
) {
    let operands = Operands { activations, kept_indices, kept_values, kept, projections, scale };
    let blocks = activations.rows.div_ceil(activations.element.per_vector());
    let groups = [projections.columns.div_ceil(FEATURES), workgroups(blocks.into()), 1];
    operands.record(recording, &SPARSE_PROJECTION, groups);
}

/// What both kernels of sparse projections are given.
pub(crate) struct Operands {
    pub activations: Matrix,
    pub kept_indices: BufferId,
    pub kept_values: BufferId,
    pub kept: u32,
    pub projections: Matrix,
    pub scale: f32,
}

impl Operands {
    pub fn record(self, recording: &mut Recording, kernel: &'static Kernel, workgroups: [u32; 3]) {
        let Operands { activations, kept_indices, kept_values, kept, projections, scale } = self;
        let (rows, rank) = (u64::from(activations.rows), projections.columns);
        let kept_total = u64::from(rank) * u64::from(kept);
        recording.dispatch(
            kernel,
            activations.element,
            &Params {
                rows: activations.rows,
                stride: activations.stride,
                rank,
                kept,
                out_stride: projections.stride,
                scale,
            },
            &[activations.resource, kept_indices.into(), kept_values.into(), projections.resource],
            workgroups,
            Cost {
                // Every neuron may be kept by some feature: the whole panel is the honest upper bound.
                moved: vec![
                    Moved::read(activations.bytes().min(rows * kept_total * activations.element.bytes() as u64)),
                    Moved::read(kept_total * 4),
                    Moved::read(kept_total * 4),
                    projections.written(),
                ],
                flops: 2 * rows * kept_total,
            },
        );
    }
}

/// Neurons that the twin transposes at once: the values of [`LANES`] tokens stay in the first cache.
const SEGMENT_NEURONS: usize = 512;

pub(crate) fn twin(bytes: &[u8], element: ElementType, bindings: &mut [Memory<'_>]) {
    let p: Params = params(bytes);
    let [activations, indices, values, out] = bindings else { unreachable!() };
    let (rank, kept, out_stride) = (p.rank as usize, p.kept as usize, p.out_stride as usize);
    let activations = Elements::new(activations.bytes(), element, p.stride);
    let segments = segments(&indices.read::<u32>()[..rank * kept], &values.read::<f32>()[..rank * kept], kept);
    let out = &mut out.write::<f32>()[..p.rows as usize * out_stride];
    pulp::Arch::new().dispatch(Twin { activations, segments: &segments, rank, out, out_stride, scale: p.scale });
}

struct Twin<'a> {
    activations: Elements<'a>,
    segments: &'a [Segment],
    rank: usize,
    out: &'a mut [f32],
    out_stride: usize,
    scale: f32,
}

impl WithSimd for Twin<'_> {
    type Output = ();

    fn with_simd<S: Simd>(self, simd: S) {
        match LANES / S::F32_LANES {
            1 => self.run::<S, 1>(simd),
            2 => self.run::<S, 2>(simd),
            4 => self.run::<S, 4>(simd),
            _ => self.run::<pulp::Scalar, LANES>(pulp::Scalar::new()),
        }
    }
}

impl Twin<'_> {
    /// [`LANES`] tokens at once, in `V` vectors.
    fn run<S: Simd, const V: usize>(self, simd: S) {
        let stride = self.out_stride;
        self.out.par_chunks_mut(stride * LANES).enumerate().for_each(|(block, out)| {
            with_scratch((self.rank + SEGMENT_NEURONS) * LANES, |scratch| {
                let (sums, neurons) = scratch.as_chunks_mut::<LANES>().0.split_at_mut(self.rank);
                sums.fill([0.0; LANES]);
                for segment in self.segments {
                    let neurons = &mut neurons[..segment.width];
                    decode_transposed(self.activations, block * LANES, out.len() / stride, segment.first, neurons);
                    simd.vectorize(
                        #[inline(always)]
                        || segment.project::<S, V>(simd, neurons, sums),
                    );
                }
                for (t, row) in out.chunks_exact_mut(stride).enumerate() {
                    for (out, sums) in row.iter_mut().zip(&*sums) {
                        *out = self.scale * sums[t];
                    }
                }
            });
        });
    }
}

/// What the features keep of neighbouring neurons.
struct Segment {
    /// The first neuron.
    first: usize,
    /// Neurons up to the last one that any feature keeps.
    width: usize,
    /// Kept entries, feature after feature: the neuron as a place in the segment, and its value.
    entries: Vec<(u32, f32)>,
    /// The features that keep any, each with the number of its entries.
    features: Vec<(u32, u32)>,
}

/// The features cut into segments; those of which nothing is kept are left out.
fn segments(indices: &[u32], values: &[f32], kept: usize) -> Vec<Segment> {
    let count = indices.iter().max().map_or(0, |&last| last as usize / SEGMENT_NEURONS + 1);
    let mut segments: Vec<Segment> = (0..count)
        .map(|s| Segment { first: s * SEGMENT_NEURONS, width: 0, entries: Vec::new(), features: Vec::new() })
        .collect();
    for (feature, (indices, values)) in indices.chunks_exact(kept).zip(values.chunks_exact(kept)).enumerate() {
        for (&index, &value) in indices.iter().zip(values) {
            let segment = &mut segments[index as usize / SEGMENT_NEURONS];
            let place = index as usize - segment.first;
            segment.width = segment.width.max(place + 1);
            segment.entries.push((place as u32, value));
            match segment.features.last_mut() {
                Some((last, count)) if *last == feature as u32 => *count += 1,
                _ => segment.features.push((feature as u32, 1)),
            }
        }
    }
    segments.retain(|segment| segment.width > 0);
    segments
}

impl Segment {
    /// Adds this segment's part of the projections, `neurons` being its neurons' values.
    #[inline(always)]
    fn project<S: Simd, const V: usize>(&self, simd: S, neurons: &[[f32; LANES]], sums: &mut [[f32; LANES]]) {
        let (neurons, _) = S::as_simd_f32s(neurons.as_flattened());
        let (neurons, _) = neurons.as_chunks::<V>();
        let (sums, _) = S::as_mut_simd_f32s(sums.as_flattened_mut());
        let (sums, _) = sums.as_chunks_mut::<V>();
        let mut entries = self.entries.as_slice();
        for &(feature, count) in &self.features {
            let own;
            (own, entries) = entries.split_at(count as usize);
            let mut sum = sums[feature as usize];
            for &(place, value) in own {
                let value = simd.splat_f32s(value);
                for (sum, &lanes) in sum.iter_mut().zip(&neurons[place as usize]) {
                    *sum = simd.mul_add_e_f32s(value, lanes, *sum);
                }
            }
            sums[feature as usize] = sum;
        }
    }
}
