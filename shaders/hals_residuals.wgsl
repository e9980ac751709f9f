// What is left of the cross product for a range of features k, before coordinate descent on them:
//   cross_k = cross_k - sum_(l != k) C_kl z_l.
// coefficient_gram C = Y^T Y [K, K], features Z [K, d], cross Y^T X [K, d].
// A workgroup takes 16 features and 256 neurons. A thread takes 4 neurons of all 16 features.

const THREADS = 64u;
const FEATURES = 16u;
const QUADS = FEATURES / 4u;
// Features l whose weights lie in workgroup memory at a time.
const CHUNK = 64u;

struct Params {
    first_feature: u32,
    count: u32,
    rank: u32,
    columns: u32,
    stride: u32,
    gram_stride: u32,
}

@group(0) @binding(0) var<storage, read> coefficient_gram: array<f32>;
@group(0) @binding(1) var<storage, read> features: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> cross_products: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

// The weights of a feature l for four features k, in QUADS vectors one after the other.
var<workgroup> weights: array<vec4<f32>, CHUNK * QUADS>;

// C_kl, or zero if there is no such pair. A feature's own term does not count.
fn weight(k: u32, l: u32) -> f32 {
    if k >= params.first_feature + params.count || l >= params.rank || k == l {
        return 0.0;
    }
    return coefficient_gram[l * params.gram_stride + k];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row_vectors = params.stride / 4u;
    let vector = workgroup.x * THREADS + thread;
    let is_inside = vector * 4u < params.columns;
    let first = params.first_feature + workgroup.y * FEATURES;
    var sums: array<vec4<f32>, FEATURES>;
    for (var chunk = 0u; chunk < params.rank; chunk += CHUNK) {
        workgroupBarrier();
        for (var i = thread; i < CHUNK * QUADS; i += THREADS) {
            let l = chunk + i / QUADS;
            let k = first + i % QUADS * 4u;
            weights[i] = vec4(weight(k, l), weight(k + 1u, l), weight(k + 2u, l), weight(k + 3u, l));
        }
        workgroupBarrier();
        if is_inside {
            for (var l = 0u; l < min(CHUNK, params.rank - chunk); l++) {
                let w = array(weights[QUADS * l], weights[QUADS * l + 1u], weights[QUADS * l + 2u], weights[QUADS * l + 3u]);
                // A dead feature does not count, whatever its values are.
                if any((abs(w[0]) + abs(w[1]) + abs(w[2]) + abs(w[3])) != vec4<f32>()) {
                    let values = features[(chunk + l) * row_vectors + vector];
                    sums[0] += w[0].x * values;
                    sums[1] += w[0].y * values;
                    sums[2] += w[0].z * values;
                    sums[3] += w[0].w * values;
                    sums[4] += w[1].x * values;
                    sums[5] += w[1].y * values;
                    sums[6] += w[1].z * values;
                    sums[7] += w[1].w * values;
                    sums[8] += w[2].x * values;
                    sums[9] += w[2].y * values;
                    sums[10] += w[2].z * values;
                    sums[11] += w[2].w * values;
                    sums[12] += w[3].x * values;
                    sums[13] += w[3].y * values;
                    sums[14] += w[3].z * values;
                    sums[15] += w[3].w * values;
                }
            }
        }
    }
    if is_inside {
        for (var f = 0u; f < min(FEATURES, params.first_feature + params.count - first); f++) {
            // The padding stays zero, because that of the features is.
            cross_products[(first + f) * row_vectors + vector] -= sums[f];
        }
    }
}
