// Winner-take-all: each feature keeps its m largest magnitudes, and the others become zero. Of equals, the lower neuron
// is kept.
// features [K, d], kept_indices [K, m] (ascending), kept_values [K, m]. One workgroup for each feature.
// With unit_norm, the kept part is divided by its Euclidean norm, unless that is zero.

import package::shared::selection::{THREADS, keep_largest};

struct Params {
    columns: u32,
    stride: u32,
    kept: u32,
    unit_norm: u32,
}

@group(0) @binding(0) var<storage, read_write> features: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> kept_indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> kept_values: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

fn candidates(feature: u32, v: u32) -> vec4<f32> {
    return features[feature * (params.stride / 4u) + v];
}

fn replace(feature: u32, v: u32, result: vec4<f32>) {
    features[feature * (params.stride / 4u) + v] = result;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    keep_largest(workgroup.x, params.unit_norm != 0u, 1.0, thread);
}
