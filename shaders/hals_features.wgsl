// Coordinate descent (HALS; Cichocki and Phan 2009) on a range of features k, one after the other:
//   z_k = r_k cut to its m largest magnitudes, divided by its norm, unchanged if C_kk = 0;
//   r_l = r_l - C_kl (z_k - z_k before) for the later features l of the range.
// coefficient_gram C = Y^T Y [K, K], residuals r [K, d], features Z [K, d], kept_indices [K, m] (ascending),
// kept_values [K, m].
// One workgroup. Each thread reads and writes the same neurons of every row, so that none waits for memory that another
// thread writes.

import package::shared::selection::{THREADS, keep_largest};

const EXPONENT_BITS = 0x7f800000u;

struct Params {
    first_feature: u32,
    count: u32,
    columns: u32,
    stride: u32,
    gram_stride: u32,
    kept: u32,
}

@group(0) @binding(0) var<storage, read> coefficient_gram: array<f32>;
@group(0) @binding(1) var<storage, read_write> residuals: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> features: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> kept_indices: array<u32>;
@group(0) @binding(4) var<storage, read_write> kept_values: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

fn candidates(feature: u32, v: u32) -> vec4<f32> {
    return residuals[feature * (params.stride / 4u) + v];
}

fn replace(feature: u32, v: u32, result: vec4<f32>) {
    let row_vectors = params.stride / 4u;
    let at = feature * row_vectors + v;
    let change = result - features[at];
    features[at] = result;
    if any(change != vec4<f32>()) {
        for (var l = feature + 1u; l < params.first_feature + params.count; l++) {
            residuals[l * row_vectors + v] -= coefficient_gram[feature * params.gram_stride + l] * change;
        }
    }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
    for (var k = params.first_feature; k < params.first_feature + params.count; k++) {
        let energy = coefficient_gram[k * params.gram_stride + k];
        let inverse = 1.0 / energy;
        let is_alive = energy > 0.0
            && bitcast<u32>(energy) <= EXPONENT_BITS
            && (bitcast<u32>(inverse) & EXPONENT_BITS) != EXPONENT_BITS;
        if is_alive {
            keep_largest(k, true, thread);
        }
        workgroupBarrier();
    }
}
