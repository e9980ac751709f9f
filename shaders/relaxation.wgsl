// Over-relaxation of the features before they are cut: z_k = z_k + amount (z_k - previous_k). This moves them on by the
// share `amount` of the step that least squares took. A feature without coefficients (C_kk = 0) stays as it is.
// C = coefficient Gram matrix [K, K], features [K, d], previous features as their kept neurons and values [K, m].
// One workgroup for each feature.

const THREADS = 256u;

struct Params {
    rank: u32,
    gram_stride: u32,
    columns: u32,
    feature_stride: u32,
    kept: u32,
    amount: f32,
}

@group(0) @binding(0) var<storage, read> coefficient_gram: array<f32>;
@group(0) @binding(1) var<storage, read> kept_indices: array<u32>;
@group(0) @binding(2) var<storage, read> kept_values: array<f32>;
@group(0) @binding(3) var<storage, read_write> features: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    for (var k = workgroup.x; k < params.rank; k += workgroups.x) {
        let amount = select(0.0, params.amount, coefficient_gram[k * params.gram_stride + k] > 0.0);
        for (var j = thread; j < params.columns; j += THREADS) {
            features[k * params.feature_stride + j] *= 1.0 + amount;
        }
        storageBarrier();
        for (var i = k * params.kept + thread; i < (k + 1u) * params.kept; i += THREADS) {
            features[k * params.feature_stride + kept_indices[i]] -= amount * kept_values[i];
        }
    }
}
