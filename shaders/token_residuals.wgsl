// Squared residual of each token from the Gram identity: max(0, |x_i|^2 - sum_k y_ik (2 P_ik - (YQ)_ik)).
// projections P, reconstructed YQ, coefficients Y [rows, K], squared_norms |x_i|^2, residuals [rows]. One thread for
// each token.

const THREADS = 256u;

struct Params {
    rows: u32,
    rank: u32,
    stride: u32,
}

@group(0) @binding(0) var<storage, read> projections: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> reconstructed: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> squared_norms: array<f32>;
@group(0) @binding(4) var<storage, read_write> residuals: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

// The pair (hi, lo) plus a value, exact up to the rounding of lo.
fn two_sum(pair: vec2<f32>, value: f32) -> vec2<f32> {
    let sum = pair.x + value;
    let added = sum - pair.x;
    return vec2(sum, pair.y + ((pair.x - (sum - added)) + (value - added)));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
    let lanes = vec4(0u, 1u, 2u, 3u);
    for (var i = id.x; i < params.rows; i += workgroups.x * THREADS) {
        let row = i * (params.stride / 4u);
        // Exact additions (TwoSum), because a good fit leaves little of the norm.
        var high = vec4(squared_norms[i], 0.0, 0.0, 0.0);
        var low = vec4<f32>();
        for (var v = 0u; v * 4u < params.rank; v++) {
            let explained = coefficients[row + v] * (2.0 * projections[row + v] - reconstructed[row + v]);
            let value = select(vec4<f32>(), -explained, vec4(v * 4u) + lanes < vec4(params.rank));
            let sum = high + value;
            let added = sum - high;
            low += (high - (sum - added)) + (value - added);
            high = sum;
        }
        var pair = two_sum(vec2(high.x, (low.x + low.y) + (low.z + low.w)), high.y);
        pair = two_sum(two_sum(pair, high.z), high.w);
        let residual = pair.x + pair.y;
        // A comparison rather than max, so that NaN counts as zero.
        residuals[i] = select(0.0, residual, residual > 0.0);
    }
}
