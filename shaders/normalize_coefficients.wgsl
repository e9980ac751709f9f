// Scales the columns of a panel of coefficients: y_ik = scales_k y_ik.
// coefficients [rows, K], scales [K].

const THREADS = 256u;

struct Params {
    rows: u32,
    rank: u32,
    stride: u32,
}

@group(0) @binding(0) var<storage, read> scales: array<f32>;
@group(0) @binding(1) var<storage, read_write> coefficients: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

// The padding has the scale 0, so that it stays zero.
fn scale_of(k: u32) -> f32 {
    var scale = 0.0;
    if k < params.rank {
        scale = scales[k];
    }
    return scale;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
    let row_vectors = params.stride / 4u;
    let count = params.rows * row_vectors;
    for (var v = id.x; v < count; v += workgroups.x * THREADS) {
        let k = v % row_vectors * 4u;
        coefficients[v] *= vec4(scale_of(k), scale_of(k + 1u), scale_of(k + 2u), scale_of(k + 3u));
    }
}
