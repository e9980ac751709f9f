// Makes features of a least-squares solution, in three steps for each feature k:
// - Over-relaxation: z_k = z_k + relaxation (z_k - previous_k). A feature without coefficients (C_kk = 0) stays as it is.
// - Winner-take-all: it keeps its m largest magnitudes, and the others become zero. Of equals, the lower neuron is kept.
// - The norm of its column of the coefficients moves to it (official code of Shafran et al. 2026): scales_k = 1 / nu_k,
//   z_k = nu_k z_k, nu_k = max(sqrt(C_kk), norm_floor), or 1 if C_kk is not positive.
// C = coefficient Gram matrix [K, K], features [K, d], kept_indices [K, m] (ascending), kept_values [K, m], which hold
// the previous features at first, scales [K].
// One workgroup for each feature. A thread reads and writes only its own vectors of the row.

import package::shared::selection::{THREADS, keep_largest};

// Neurons to which the previous feature is spread out at a time: a vector for each thread.
const SEGMENT = 4u * THREADS;
const INFINITY_BITS = 0x7f800000u;

struct Params {
    columns: u32,
    stride: u32,
    kept: u32,
    gram_stride: u32,
    relaxation: f32,
    norm_floor: f32,
}

@group(0) @binding(0) var<storage, read> coefficient_gram: array<f32>;
@group(0) @binding(1) var<storage, read_write> features: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> kept_indices: array<u32>;
@group(0) @binding(3) var<storage, read_write> kept_values: array<f32>;
@group(0) @binding(4) var<storage, read_write> scales: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

var<workgroup> previous: array<f32, SEGMENT>;

fn candidates(feature: u32, v: u32) -> vec4<f32> {
    return features[feature * (params.stride / 4u) + v];
}

fn replace(feature: u32, v: u32, result: vec4<f32>) {
    features[feature * (params.stride / 4u) + v] = result;
}

fn relax(feature: u32, amount: f32, thread: u32) {
    let own = 4u * thread;
    let row_vectors = params.stride / 4u;
    for (var first = 0u; first < params.columns; first += SEGMENT) {
        previous[own] = 0.0;
        previous[own + 1u] = 0.0;
        previous[own + 2u] = 0.0;
        previous[own + 3u] = 0.0;
        workgroupBarrier();
        for (var entry = feature * params.kept + thread; entry < (feature + 1u) * params.kept; entry += THREADS) {
            let place = kept_indices[entry] - first;
            if place < SEGMENT {
                previous[place] = kept_values[entry];
            }
        }
        workgroupBarrier();
        let v = first / 4u + thread;
        if v < row_vectors {
            let before = vec4(previous[own], previous[own + 1u], previous[own + 2u], previous[own + 3u]);
            replace(feature, v, (1.0 + amount) * candidates(feature, v) - amount * before);
        }
    }
    // All entries are read before others take their place.
    workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let feature = workgroup.x;
    let energy = coefficient_gram[feature * params.gram_stride + feature];
    if params.relaxation > 0.0 {
        relax(feature, select(0.0, params.relaxation, energy > 0.0), thread);
    }
    var norm = 1.0;
    // The comparison of bits excludes NaN, which a compiler may take for positive.
    if energy > 0.0 && bitcast<u32>(energy) <= INFINITY_BITS {
        norm = max(sqrt(energy), params.norm_floor);
    }
    if thread == 0u {
        scales[feature] = 1.0 / norm;
    }
    keep_largest(feature, false, norm, thread);
}
