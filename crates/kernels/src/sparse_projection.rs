//! Projections P = X Zᵀ of many tokens onto features that keep few neurons. X is read once, and only the kept neurons
//! are multiplied.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::{Elements, LANES, arch, decode_transposed, deinterleave, with_scratch};
use crate::variant::VOTING_32;
use crate::{
    Access, BoundDispatch, BufferId, Cost, CpuTwin, Dispatch, ElementType, Features, Kernel, Matrix, Memory, Moved,
    Needs, Recording, Resource, Variant, workgroups,
};

/// The kernel's metadata. The tile of a variant is the features of a workgroup.
pub static SPARSE_PROJECTION: Kernel = Kernel {
    name: "sparse_projection",
    access: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: true,
    variants: &[NEURONS_1536, THREADS_512, NEURONS_768, THREADS_256, PORTABLE],
    twin: CpuTwin::Together(twin),
};

/// The metadata of the kernel that projects the features onto themselves besides.
pub static SPARSE_PROJECTION_WITH_GRAM: Kernel = Kernel {
    name: "sparse_projection_with_gram",
    access: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite, Access::Read, Access::ReadWrite],
    params_size: size_of::<ParamsWithGram>(),
    variants: &[
        with_gram(&NEURONS_1536, &["gram", "long_segments", "threads_512", "votes"]),
        with_gram(&THREADS_512, &["gram", "threads_512", "votes"]),
        with_gram(&NEURONS_768, &["gram", "long_segments", "votes"]),
        with_gram(&THREADS_256, &["gram", "votes"]),
        with_gram(&PORTABLE, &["gram"]),
    ],
    twin: CpuTwin::Together(twin_with_gram),
    ..SPARSE_PROJECTION
};

/// The same variant, whose shader computes the Gram matrix of the features as well.
const fn with_gram(variant: &Variant, features: &'static [&'static str]) -> Variant {
    Variant { shader: Some("sparse_projection"), features, ..*variant }
}

/// A subgroup waits for its busiest feature, and less so in longer segments.
const NEURONS_1536: Variant = Variant {
    name: "neurons_1536",
    features: &["long_segments", "threads_512", "votes"],
    needs: Needs { workgroup_bytes: 48 << 10, ..THREADS_512.needs },
    ..THREADS_512
};

/// Where few of 512 threads are without a feature.
const THREADS_512: Variant = Variant {
    name: "threads_512",
    features: &["threads_512", "votes"],
    tile: [512, 1, 1],
    needs: Needs { threads: 512, workgroup_bytes: 32 << 10, ..VOTING_32.needs },
    ..VOTING_32
};

const NEURONS_768: Variant = Variant {
    name: "neurons_768",
    features: &["long_segments", "votes"],
    needs: Needs { workgroup_bytes: 24 << 10, ..VOTING_32.needs },
    ..THREADS_256
};

const THREADS_256: Variant = Variant { tile: [256, 1, 1], ..VOTING_32 };

const PORTABLE: Variant = Variant { tile: [256, 1, 1], ..Variant::PORTABLE };

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Params {
    rows: u32,
    stride: u32,
    rank: u32,
    kept: u32,
    out_stride: u32,
    first: u32,
    scale: f32,
}

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct ParamsWithGram {
    of_tokens: Params,
    feature_stride: u32,
    gram_stride: u32,
    blocks: u32,
}

/// Records projections\[i, k\] = scale · Σⱼ kept_values\[k, j\] · x\[i, kept_indices\[k, j\]\]. Each feature keeps
/// `kept` neurons, in ascending order. For few tokens, [`gather_projection`](crate::gather_projection()) is faster.
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
    let extent = [projections.columns, workgroups(blocks_of(activations).into()), 1];
    operands.record(recording, &SPARSE_PROJECTION, extent);
}

/// Rows that a workgroup handles at a time.
fn rows_of_block(rows: Matrix) -> u32 {
    2 * rows.element.per_vector()
}

fn blocks_of(rows: Matrix) -> u32 {
    rows.rows.div_ceil(rows_of_block(rows))
}

/// Records the same, and Q = ZZᵀ [K, K] = `gram` in the same dispatch, whose workgroups fill cores that those of the projections leave
/// without work. P = `projections`.
pub fn sparse_projection_with_gram(
    recording: &mut Recording,
    activations: Matrix,
    features: &Features,
    projections: Matrix,
    scale: f32,
    gram: Matrix,
) {
    let Features { dense, indices: kept_indices, values: kept_values, kept } = *features;
    let of_tokens = Operands { activations, kept_indices, kept_values, kept, projections, scale };
    let of_features = Operands { activations: dense, projections: gram, scale: 1.0, ..of_tokens };
    let blocks = blocks_of(activations) + blocks_of(dense);
    let mut cost = of_tokens.cost();
    cost.moved.extend([dense.read(), gram.written()]);
    cost.flops += of_features.cost().flops;
    let mut bindings = of_tokens.bindings().to_vec();
    bindings.extend([dense.resource, gram.resource]);
    let dispatch = recording.dispatch(
        &SPARSE_PROJECTION_WITH_GRAM,
        activations.element,
        &ParamsWithGram {
            of_tokens: of_tokens.params(),
            feature_stride: dense.stride,
            gram_stride: gram.stride,
            blocks,
        },
        &bindings,
        [projections.columns, workgroups(blocks.into()), 1],
        cost,
    );
    dispatch.prepared = vec![activations];
    // A workgroup has fewer rows of features than of tokens.
    let rows = f64::from(activations.rows) + f64::from(dense.rows);
    dispatch.unevenness = f64::from(rows_of_block(activations)) * f64::from(blocks) / rows;
}

/// The operands of the kernels for sparse projections.
#[derive(Clone, Copy)]
pub(crate) struct Operands {
    pub activations: Matrix,
    pub kept_indices: BufferId,
    pub kept_values: BufferId,
    pub kept: u32,
    pub projections: Matrix,
    pub scale: f32,
}

impl Operands {
    pub fn record<'a>(
        self,
        recording: &'a mut Recording,
        kernel: &'static Kernel,
        extent: [u32; 3],
    ) -> &'a mut Dispatch {
        let (element, prepared) = (self.activations.element, vec![self.activations]);
        let dispatch = recording.dispatch(kernel, element, &self.params(), &self.bindings(), extent, self.cost());
        dispatch.prepared = prepared;
        dispatch
    }

    fn params(&self) -> Params {
        let Operands { activations, kept, projections, scale, .. } = *self;
        Params {
            rows: activations.rows,
            stride: activations.stride,
            rank: projections.columns,
            kept,
            out_stride: projections.stride,
            first: activations.first,
            scale,
        }
    }

    fn bindings(&self) -> [Resource; 4] {
        [self.activations.resource, self.kept_indices.into(), self.kept_values.into(), self.projections.resource]
    }

    fn cost(&self) -> Cost {
        let Operands { activations, kept, projections, .. } = *self;
        let (rows, kept_total) = (u64::from(activations.rows), u64::from(projections.columns) * u64::from(kept));
        Cost {
            // Every neuron may be kept by some feature, so the whole panel is the honest upper bound.
            moved: vec![
                Moved::read(activations.bytes().min(rows * kept_total * activations.element.bytes() as u64)),
                Moved::read(kept_total * 4),
                Moved::read(kept_total * 4),
                projections.written(),
            ],
            flops: 2 * rows * kept_total,
        }
    }
}

/// Neurons that the twin transposes at once. The values of [`LANES`] tokens stay in the first-level cache.
const SEGMENT_NEURONS: usize = 512;
/// Features whose sums run side by side, because a single one would wait for itself.
const QUAD: usize = 4;

pub(crate) fn twin(dispatches: &mut [BoundDispatch<'_>]) {
    let mut groups = Vec::new();
    for BoundDispatch { call, bindings } in dispatches {
        let [activations, indices, values, out] = &mut bindings[..] else { unreachable!() };
        add_to_groups(&mut groups, &call.params(), (activations.bytes(), call.element), [indices, values], out);
    }
    groups.into_par_iter().for_each(|group| arch().dispatch(group));
}

fn twin_with_gram(dispatches: &mut [BoundDispatch<'_>]) {
    let mut groups = Vec::new();
    for BoundDispatch { call, bindings } in dispatches {
        let ParamsWithGram { of_tokens, feature_stride, gram_stride, .. } = call.params();
        let [activations, indices, values, out, features, gram] = &mut bindings[..] else { unreachable!() };
        let of_features = Params {
            rows: of_tokens.rank,
            stride: feature_stride,
            out_stride: gram_stride,
            first: 0,
            scale: 1.0,
            ..of_tokens
        };
        let kept = [&*indices, &*values];
        add_to_groups(&mut groups, &of_tokens, (activations.bytes(), call.element), kept, out);
        add_to_groups(&mut groups, &of_features, (features.bytes(), ElementType::F32), kept, gram);
    }
    groups.into_par_iter().for_each(|group| arch().dispatch(group));
}

/// Adds a projection to those of the same rows, or to a group of its own.
fn add_to_groups<'b>(
    groups: &mut Vec<Twin<'b>>,
    p: &Params,
    (bytes, element): (&'b [u8], ElementType),
    [indices, values]: [&Memory<'_>; 2],
    out: &'b mut Memory<'_>,
) {
    let [rows, rank, kept, stride] = [p.rows, p.rank, p.kept, p.out_stride].map(|n| n as usize);
    let activations = Elements::from(bytes, p.first, element, p.stride);
    let (indices, values) = (&indices.read::<u32>()[..rank * kept], &values.read::<f32>()[..rank * kept]);
    let segments = segments(indices, values, kept, activations.readable_of(rows - 1));
    let projection = Projection { segments, rank, stride, scale: p.scale };
    let out = &mut out.write::<f32>()[..rows * stride];
    match groups.iter_mut().find(|group| group.rows == rows && group.activations.are(&activations)) {
        Some(group) => group.projections.push((projection, out)),
        None => groups.push(Twin { activations, rows, projections: vec![(projection, out)] }),
    }
}

/// Projections of the same tokens, and where each goes.
struct Twin<'a> {
    activations: Elements<'a>,
    rows: usize,
    projections: Vec<(Projection, &'a mut [f32])>,
}

/// A projection on some features.
struct Projection {
    segments: Vec<Segment>,
    rank: usize,
    /// Numbers from one token to the next in the result.
    stride: usize,
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
    /// Handles [`LANES`] tokens at once, in `V` vectors.
    fn run<S: Simd, const V: usize>(self, simd: S) {
        let (activations, rows) = (self.activations, self.rows);
        let mut outs: Vec<Vec<&mut [f32]>> = Vec::new();
        outs.resize_with(rows.div_ceil(LANES), Vec::new);
        let mut projections = Vec::with_capacity(self.projections.len());
        for (projection, out) in self.projections {
            outs.iter_mut().zip(out.chunks_mut(projection.stride * LANES)).for_each(|(outs, out)| outs.push(out));
            projections.push(projection);
        }
        // There is one sum more than there are features, for the padding of the quads.
        let sums_of = |projection: &Projection| projection.rank + 1;
        let all_sums: usize = projections.iter().map(sums_of).sum();
        let segments = projections.iter().map(|projection| projection.segments.len()).max().unwrap_or(0);
        let widest = |segment: usize| {
            let widths = projections.iter().filter_map(|projection| projection.segments.get(segment));
            widths.map(|segment| segment.width).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..segments).map(widest).collect();
        outs.into_par_iter().enumerate().for_each(|(block, outs)| {
            with_scratch((all_sums + SEGMENT_NEURONS) * LANES, |scratch| {
                let (neurons, sums) = scratch.as_chunks_mut::<LANES>().0.split_at_mut(SEGMENT_NEURONS);
                sums.fill([0.0; LANES]);
                let (first, tokens) = (block * LANES, LANES.min(rows - block * LANES));
                for (number, &width) in widths.iter().enumerate().filter(|(_, width)| **width > 0) {
                    decode_transposed(activations, first, tokens, number * SEGMENT_NEURONS, &mut neurons[..width]);
                    let neurons: &[_; SEGMENT_NEURONS] = (&*neurons).try_into().expect("a segment");
                    let mut rest = &mut *sums;
                    for projection in &projections {
                        let own = rest.split_off_mut(..sums_of(projection)).expect("sums of all features");
                        if let Some(segment) = projection.segments.get(number) {
                            simd.vectorize(
                                #[inline(always)]
                                || segment.project::<S, V>(simd, neurons, own),
                            );
                        }
                    }
                }
                let mut rest = sums;
                for (projection, out) in projections.iter().zip(outs) {
                    let own = rest.split_off_mut(..sums_of(projection)).expect("sums of all features");
                    own.as_flattened_mut().iter_mut().for_each(|sum| *sum *= projection.scale);
                    deinterleave(own.as_flattened(), LANES, projection.rank, out, projection.stride);
                }
            });
        });
    }
}

/// What the features keep of neighbouring neurons.
struct Segment {
    /// Number of neurons up to the last one that any feature keeps, and of those that are decoded with it.
    width: usize,
    /// The features that keep any of them, sorted by how many they keep.
    quads: Vec<Quad>,
    /// The kept entries of each quad. Those of its features lie side by side.
    entries: Vec<[Entry; QUAD]>,
}

/// Several features, and their part of the entries. If there are too few features, the number after the last one fills
/// the quad.
struct Quad {
    features: [u32; QUAD],
    entries: Range<u32>,
}

/// A neuron's place in the segment, and its value. The value is zero if a feature has fewer entries than others in its
/// quad.
#[derive(Clone, Copy, Default)]
struct Entry {
    place: u32,
    value: f32,
}

/// The features cut into segments, up to the last one of which something is kept.
fn segments(indices: &[u32], values: &[f32], kept: usize, neurons: usize) -> Vec<Segment> {
    let count = indices.iter().max().map_or(0, |&last| last as usize / SEGMENT_NEURONS + 1);
    let segment = |segment: usize| {
        let first = segment * SEGMENT_NEURONS;
        Segment::new(first, neurons - first, indices, values, kept)
    };
    (0..count).into_par_iter().map(segment).collect()
}

impl Segment {
    /// The segment that begins with neuron `first`. There are `remaining` neurons from there on.
    fn new(first: usize, remaining: usize, indices: &[u32], values: &[f32], kept: usize) -> Self {
        let mut features: Vec<(u32, &[u32], &[f32])> = indices
            .chunks_exact(kept)
            .zip(values.chunks_exact(kept))
            .enumerate()
            .map(|(feature, (indices, values))| {
                let start = indices.partition_point(|&index| (index as usize) < first);
                let count = indices[start..].partition_point(|&index| (index as usize) < first + SEGMENT_NEURONS);
                (feature as u32, &indices[start..start + count], &values[start..start + count])
            })
            .collect();
        let nowhere = features.len() as u32;
        features.retain(|(_, indices, _)| !indices.is_empty());
        let last = features.iter().map(|(_, indices, _)| indices[indices.len() - 1] as usize).max();
        // Whole squares are transposed faster than parts of squares.
        let width = last.map_or(0, |last| (last - first + 1).next_multiple_of(LANES).min(remaining));
        // Loops of the same length follow one another, so that the processor predicts them.
        features.sort_by_key(|(_, indices, _)| indices.len());
        let mut entries = Vec::with_capacity(features.iter().map(|(_, indices, _)| indices.len()).sum());
        let mut quads = Vec::with_capacity(features.len().div_ceil(QUAD));
        for features in features.chunks(QUAD) {
            let start = entries.len();
            let longest = features[features.len() - 1].1.len();
            entries.resize(start + longest, [Entry::default(); QUAD]);
            let mut quad = [nowhere; QUAD];
            for (i, (feature, indices, values)) in features.iter().enumerate() {
                quad[i] = *feature;
                for ((entry, &index), &value) in entries[start..].iter_mut().zip(*indices).zip(*values) {
                    entry[i] = Entry { place: index - first as u32, value };
                }
            }
            quads.push(Quad { features: quad, entries: start as u32..entries.len() as u32 });
        }
        Segment { width, quads, entries }
    }

    /// Adds this segment's part of the projections. `neurons` holds the segment's values.
    #[inline(always)]
    fn project<S: Simd, const V: usize>(
        &self,
        simd: S,
        neurons: &[[f32; LANES]; SEGMENT_NEURONS],
        sums: &mut [[f32; LANES]],
    ) {
        let (neurons, _) = S::as_simd_f32s(neurons.as_flattened());
        let (neurons, _) = neurons.as_chunks::<V>();
        let (sums, _) = S::as_mut_simd_f32s(sums.as_flattened_mut());
        let (sums, _) = sums.as_chunks_mut::<V>();
        for Quad { features, entries } in &self.quads {
            let mut four = features.map(|feature| sums[feature as usize]);
            for entries in &self.entries[entries.start as usize..entries.end as usize] {
                for (sum, &Entry { place, value }) in four.iter_mut().zip(entries) {
                    let value = simd.splat_f32s(value);
                    for (sum, &lanes) in sum.iter_mut().zip(&neurons[place as usize % SEGMENT_NEURONS]) {
                        *sum = simd.mul_add_e_f32s(value, lanes, *sum);
                    }
                }
            }
            for (feature, sum) in features.iter().zip(four) {
                sums[*feature as usize] = sum;
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
    fn every_kind_of_vectors_projects() {
        // Features with many neighbouring neurons, features with few that are far apart, and segments of which nothing
        // is kept.
        for (rows, neurons, rank, kept) in [(1, 1, 1, 1), (35, 1531, 13, 3), (18, 600, 7, 90)] {
            let number = |i: usize| ((i * 7919 + 13) % 101) as f32 / 101.0 - 0.5;
            let x: Vec<f32> = (0..rows * neurons).map(number).collect();
            let step = neurons / kept / 2;
            let index = |k: usize, j: usize| if k.is_multiple_of(2) { j } else { (k + j * step) % neurons };
            let indices: Vec<u32> = (0..rank)
                .flat_map(|k| {
                    let mut own: Vec<u32> = (0..kept).map(|j| index(k, j) as u32).collect();
                    own.sort_unstable();
                    own
                })
                .collect();
            let values: Vec<f32> = (0..rank * kept).map(|i| number(3 * i)).collect();
            for vectors in Vectors::ALL {
                let (stride, activations) =
                    (rank + 2, Elements::new(bytemuck::cast_slice(&x), ElementType::F32, neurons as u32));
                // Together with a projection on features of which one is left out.
                let (mut out, mut of_fewer) = (vec![0f32; rows * stride], vec![0f32; rows * stride]);
                let projection = |rank: usize| Projection {
                    segments: segments(&indices[..rank * kept], &values[..rank * kept], kept, neurons),
                    rank,
                    stride,
                    scale: 0.5,
                };
                let projections = vec![(projection(rank - 1), &mut of_fewer[..]), (projection(rank), &mut out[..])];
                vectors.arch().dispatch(Twin { activations, rows, projections });
                for (t, k) in (0..rows).flat_map(|t| (0..rank).map(move |k| (t, k))) {
                    let own = indices[k * kept..].iter().zip(&values[k * kept..]).take(kept);
                    let sum: f64 = own.map(|(&j, &z)| f64::from(x[t * neurons + j as usize]) * f64::from(z)).sum();
                    let (at, expected) = (t * stride + k, 0.5 * sum);
                    assert!((f64::from(out[at]) - expected).abs() < 1e-5, "{vectors:?}: {} for {expected}", out[at]);
                    assert!(k == rank - 1 || of_fewer[at] == out[at], "{vectors:?}: token {t}, feature {k}");
                }
            }
        }
    }
}
