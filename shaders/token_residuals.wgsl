// Squared residual of each token from the Gram identity: max(0, |x_i|^2 - sum_k y_ik (2 P_ik - (YQ)_ik)).
// projections P, reconstructed YQ, coefficients Y [rows, K], squared_norms |x_i|^2, residuals [rows]. One thread for
// each token.

import package::shared::compensated_sum::{Pairs, all_as_rounded, all_plus, total};

const THREADS = 256u;

struct Params {
    rows: u32,
    rank: u32,
    stride: u32,
    zero: u32,
}

@group(0) @binding(0) var<storage, read> projections: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> reconstructed: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> squared_norms: array<f32>;
@group(0) @binding(4) var<storage, read_write> residuals: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
    let lanes = vec4(0u, 1u, 2u, 3u);
    for (var i = id.x; i < params.rows; i += workgroups.x * THREADS) {
        let row = i * (params.stride / 4u);
        // Exact additions, because a good fit leaves little of the norm.
        var pairs = Pairs(vec4(squared_norms[i], 0.0, 0.0, 0.0), vec4<f32>());
        for (var v = 0u; v * 4u < params.rank; v++) {
            let explained = coefficients[row + v] * (2.0 * projections[row + v] - reconstructed[row + v]);
            let values = select(vec4<f32>(), -explained, vec4(v * 4u) + lanes < vec4(params.rank));
            pairs = all_plus(pairs, all_as_rounded(values));
        }
        let sum = total(pairs);
        let residual = sum.x + sum.y;
        // A comparison rather than max, so that NaN counts as zero.
        residuals[i] = select(0.0, residual, residual > 0.0);
    }
}
