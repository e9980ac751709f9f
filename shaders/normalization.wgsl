// Gives the columns of the coefficients unit norm, and moves their norm to the features (official code of Shafran et
// al. 2026):
//   scales_k = 1 / nu_k, z_k = nu_k z_k, nu_k = max(sqrt(C_kk), norm_floor), or 1 if C_kk is not positive.
// C = coefficient Gram matrix [K, K], features [K, d], kept_values [K, m] (the features' sparse form), scales [K].
// One workgroup for each feature.

const THREADS = 256u;
const INFINITY_BITS = 0x7f800000u;

struct Params {
    rank: u32,
    gram_stride: u32,
    columns: u32,
    feature_stride: u32,
    kept: u32,
    norm_floor: f32,
}

@group(0) @binding(0) var<storage, read> coefficient_gram: array<f32>;
@group(0) @binding(1) var<storage, read_write> features: array<f32>;
@group(0) @binding(2) var<storage, read_write> kept_values: array<f32>;
@group(0) @binding(3) var<storage, read_write> scales: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(num_workgroups) workgroups: vec3<u32>,
) {
    for (var k = workgroup.x; k < params.rank; k += workgroups.x) {
        let energy = coefficient_gram[k * params.gram_stride + k];
        var norm = 1.0;
        // The comparison of bits excludes NaN, which a compiler may take for positive.
        if energy > 0.0 && bitcast<u32>(energy) <= INFINITY_BITS {
            norm = max(sqrt(energy), params.norm_floor);
        }
        if thread == 0u {
            scales[k] = 1.0 / norm;
        }
        for (var j = thread; j < params.columns; j += THREADS) {
            features[k * params.feature_stride + j] *= norm;
        }
        for (var j = thread; j < params.kept; j += THREADS) {
            kept_values[k * params.kept + j] *= norm;
        }
    }
}
