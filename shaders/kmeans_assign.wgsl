// The first half of a Lloyd step: the nearest centroid of each token's direction, argmax_k S_ik / |x_i| - |c_k|^2 / 2.
// Of equals, the lower number wins.
// The coefficient of that centroid becomes the token's only nonzero one: 1 / |x_i|, so that Y^T X sums directions, or
// in the final step the least-squares coefficient max(0, S_ik) / |c_k|^2.
// scores S = X C^T [rows, K], squared_norms |x_i|^2 [rows], centroid_norms |c_k|^2 [K], coefficients [rows, K],
// assignments [rows]. One thread for each token.

const THREADS = 256u;
const LOWEST = -3.40282346e38;

struct Params {
    rows: u32,
    rank: u32,
    stride: u32,
    final_step: u32,
}

@group(0) @binding(0) var<storage, read> scores: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> squared_norms: array<f32>;
@group(0) @binding(2) var<storage, read> centroid_norms: array<f32>;
@group(0) @binding(3) var<storage, read_write> coefficients: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> assignments: array<u32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
    let row_vectors = params.stride / 4u;
    for (var i = id.x; i < params.rows; i += workgroups.x * THREADS) {
        let row = i * row_vectors;
        let squared_norm = squared_norms[i];
        var inverse_norm = 0.0;
        if squared_norm > 0.0 {
            inverse_norm = 1.0 / sqrt(squared_norm);
        }
        var nearest = 0u;
        var nearest_score = 0.0;
        var nearest_closeness = LOWEST;
        for (var v = 0u; v * 4u < params.rank; v++) {
            let four = scores[row + v];
            for (var c = 0u; c < 4u; c++) {
                let k = v * 4u + c;
                if k < params.rank {
                    let closeness = four[c] * inverse_norm - 0.5 * centroid_norms[k];
                    // A strict comparison: of equals, the lower number wins.
                    if k == 0u || closeness > nearest_closeness {
                        nearest_score = four[c];
                        nearest = k;
                        nearest_closeness = max(closeness, LOWEST);
                    }
                }
            }
        }
        assignments[i] = nearest;
        var value = inverse_norm;
        if params.final_step != 0u {
            let centroid_norm = centroid_norms[nearest];
            value = 0.0;
            if centroid_norm > 0.0 {
                value = max(0.0, nearest_score) / centroid_norm;
            }
        }
        for (var v = 0u; v < row_vectors; v++) {
            let is_nearest = vec4(v * 4u) + vec4(0u, 1u, 2u, 3u) == vec4(nearest);
            coefficients[row + v] = select(vec4<f32>(), vec4(value), is_nearest);
        }
    }
}
