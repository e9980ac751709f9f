// Pushes features apart that are nearly copies: C_kl += strength √(C_kk C_ll) max(0, Q_kl - bound) / (1 - bound) for k ≠ l.
// Coordinate descent on the features then finds less for one of them where the other one is. The diagonal stays.
// C = coefficient Gram matrix [K, K], Q = feature Gram matrix [K, K] of features of norm 1.

const THREADS = 256u;

struct Params {
    rank: u32,
    feature_stride: u32,
    coefficient_stride: u32,
    bound: f32,
    strength: f32,
}

@group(0) @binding(0) var<storage, read> feature_gram: array<f32>;
@group(0) @binding(1) var<storage, read_write> coefficient_gram: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
    let count = params.rank * params.rank;
    for (var entry = id.x; entry < count; entry += workgroups.x * THREADS) {
        let k = entry / params.rank;
        let l = entry % params.rank;
        let excess = feature_gram[k * params.feature_stride + l] - params.bound;
        if k != l && excess > 0.0 {
            let norms = sqrt(coefficient_gram[k * params.coefficient_stride + k])
                * sqrt(coefficient_gram[l * params.coefficient_stride + l]);
            coefficient_gram[k * params.coefficient_stride + l] += params.strength * norms * excess / (1.0 - params.bound);
        }
    }
}
