//! Projections P = X Zᵀ onto features that keep few neurons: only the kept neurons of X are touched.
//!
//! With the features themselves as operand, this is the feature Gram matrix ZZᵀ.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use rayon::prelude::*;

use crate::cpu::{Elements, params, with_scratch};
use crate::{Access, BufferId, Cost, ElementType, Kernel, Matrix, Memory, Recording};

/// Tokens that a workgroup handles.
pub const TOKENS: u32 = 16;

/// The kernel's metadata.
pub static SPARSE_PROJECTION: Kernel = Kernel {
    name: "sparse_projection",
    access: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: true,
    twin,
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    stride: u32,
    rank: u32,
    kept: u32,
    out_stride: u32,
    scale: f32,
}

/// Records projections\[i, k\] = scale · Σⱼ kept_values\[k, j\] · x\[i, kept_indices\[k, j\]\], where each of the `rank`
/// features keeps `kept` neurons.
pub fn sparse_projection(
    recording: &mut Recording,
    activations: Matrix,
    kept_indices: BufferId,
    kept_values: BufferId,
    kept: u32,
    projections: Matrix,
    scale: f32,
) {
    let (rows, rank, kept_total) =
        (u64::from(activations.rows), projections.columns, u64::from(projections.columns) * u64::from(kept));
    recording.dispatch(
        &SPARSE_PROJECTION,
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
        [activations.rows.div_ceil(TOKENS), rank, 1],
        Cost {
            // Every neuron may be kept by some feature: the whole panel is the honest upper bound.
            bytes_read: activations.bytes().min(rows * kept_total * activations.element.bytes() as u64)
                + kept_total * 8,
            bytes_written: projections.bytes(),
            flops: 2 * rows * kept_total,
        },
    );
}

/// Tokens whose values lie side by side while the twin works on them: the width of the widest vector.
const LANES: usize = 16;

fn twin(bytes: &[u8], element: ElementType, bindings: &mut [Memory<'_>]) {
    let p: Params = params(bytes);
    let [activations, indices, values, out] = bindings else { unreachable!() };
    let (rank, kept, out_stride) = (p.rank as usize, p.kept as usize, p.out_stride as usize);
    let activations = Elements::new(activations.bytes(), element, p.stride);
    let (used, places) = used_neurons(&indices.read::<u32>()[..rank * kept], p.stride as usize);
    let values = &values.read::<f32>()[..rank * kept];
    let arch = pulp::Arch::new();
    let rows = out.write::<f32>()[..p.rows as usize * out_stride].par_chunks_mut(out_stride * LANES);
    rows.enumerate().for_each(|(block, out)| {
        let first = block * LANES;
        with_scratch(used.len() * LANES, |neurons| {
            gather_transposed(activations, element, first, out.len() / out_stride, &used, neurons);
            arch.dispatch(
                #[inline(always)]
                || project(neurons, &places, values, kept, p.scale, out, out_stride),
            );
        });
    });
}

/// The neurons that any feature keeps, ascending, and for each kept entry its place in that list.
fn used_neurons(indices: &[u32], neurons: usize) -> (Vec<u32>, Vec<u32>) {
    let mut place = vec![u32::MAX; neurons];
    for &index in indices {
        place[index as usize] = 0;
    }
    let mut used = Vec::new();
    for (neuron, place) in place.iter_mut().enumerate().filter(|(_, place)| **place == 0) {
        *place = used.len() as u32;
        used.push(neuron as u32);
    }
    let places = indices.iter().map(|&index| place[index as usize]).collect();
    (used, places)
}

/// out\[u, t\] = x\[first + t, used\[u\]\] for `count` ≤ 16 tokens; the lanes of absent tokens are zero.
fn gather_transposed(
    activations: Elements<'_>,
    element: ElementType,
    first: usize,
    count: usize,
    used: &[u32],
    out: &mut [f32],
) {
    let width = used.last().map_or(0, |&last| last as usize + 1);
    let row = |t: usize| activations.bytes(first + t, 0, width);
    if count < LANES {
        out.fill(0.0);
    }
    match element {
        ElementType::F32 => {
            for t in 0..count {
                let row = row(t).as_chunks::<4>().0;
                for (lanes, &neuron) in out.chunks_exact_mut(LANES).zip(used) {
                    lanes[t] = f32::from_le_bytes(row[neuron as usize]);
                }
            }
        }
        ElementType::F16 | ElementType::Bf16 => {
            // The 16-bit patterns are gathered into the upper half of `out` and widened from there in one sweep.
            let mut bits = vec![0u16; out.len()];
            let rows: [&[[u8; 2]]; LANES] = std::array::from_fn(|t| row(t.min(count - 1)).as_chunks::<2>().0);
            for (lanes, &neuron) in bits.chunks_exact_mut(LANES).zip(used) {
                for (lane, row) in lanes.iter_mut().zip(&rows).take(count) {
                    *lane = u16::from_le_bytes(row[neuron as usize]);
                }
            }
            match element {
                ElementType::F16 => bits.reinterpret_cast::<f16>().convert_to_f32_slice(out),
                _ => bits.reinterpret_cast::<bf16>().convert_to_f32_slice(out),
            }
        }
    }
}

#[inline(always)]
fn project(
    neurons: &[f32],
    places: &[u32],
    values: &[f32],
    kept: usize,
    scale: f32,
    out: &mut [f32],
    out_stride: usize,
) {
    let neurons = neurons.as_chunks::<LANES>().0;
    for (feature, (places, values)) in places.chunks_exact(kept).zip(values.chunks_exact(kept)).enumerate() {
        // Two sums hide the latency of the additions.
        let (mut even, mut odd) = ([0f32; LANES], [0f32; LANES]);
        for (places, values) in places.chunks(2).zip(values.chunks(2)) {
            let lanes = &neurons[places[0] as usize];
            for t in 0..LANES {
                even[t] += values[0] * lanes[t];
            }
            if let (Some(&place), Some(&value)) = (places.get(1), values.get(1)) {
                let lanes = &neurons[place as usize];
                for t in 0..LANES {
                    odd[t] += value * lanes[t];
                }
            }
        }
        for (t, row) in out.chunks_exact_mut(out_stride).enumerate() {
            row[feature] = scale * (even[t] + odd[t]);
        }
    }
}
