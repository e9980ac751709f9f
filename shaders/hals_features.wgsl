// Coordinate descent (HALS; Cichocki and Phan 2009) on one feature k:
//   z_k = z_k + (cross_k - sum_l C_kl z_l) / C_kk = (cross_k - sum_(l != k) C_kl z_l) / C_kk, unchanged if C_kk = 0.
// cross Y^T X [K, d], coefficient_gram C = Y^T Y [K, K], features Z [K, d].
// A workgroup takes 256 neurons. A thread takes 4 of them and a quarter of the sum, so that more loads are under way.

const THREADS = 256u;
const NEURON_VECTORS = 64u;
const PARTS = THREADS / NEURON_VECTORS;
// A multiple of PARTS * BATCH.
const CHUNK = 1024u;
// Features whose loads are under way at the same time.
const BATCH = 4u;
const EXPONENT_BITS = 0x7f800000u;

struct Params {
    feature: u32,
    rank: u32,
    columns: u32,
    stride: u32,
    gram_stride: u32,
}

@group(0) @binding(0) var<storage, read> cross_products: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> coefficient_gram: array<f32>;
@group(0) @binding(2) var<storage, read_write> features: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> weights: array<f32, CHUNK>;
var<workgroup> sums: array<vec4<f32>, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let k = params.feature;
    let row_vectors = params.stride / 4u;
    let vector = workgroup.x * NEURON_VECTORS + thread % NEURON_VECTORS;
    let part = thread / NEURON_VECTORS;
    let is_inside = vector * 4u < params.columns;
    var sum = vec4<f32>();
    for (var first = 0u; first < params.rank; first += CHUNK) {
        let count = min(CHUNK, params.rank - first);
        for (var l = thread; l < CHUNK; l += THREADS) {
            // The feature's own term cancels, and beyond the last feature there is none.
            var weight = 0.0;
            if l < count && first + l != k {
                weight = coefficient_gram[k * params.gram_stride + first + l];
            }
            weights[l] = weight;
        }
        workgroupBarrier();
        if is_inside {
            for (var l = part; l < count; l += PARTS * BATCH) {
                var values: array<vec4<f32>, BATCH>;
                for (var b = 0u; b < BATCH; b++) {
                    let row = min(first + l + b * PARTS, params.rank - 1u);
                    values[b] = features[row * row_vectors + vector];
                }
                for (var b = 0u; b < BATCH; b++) {
                    let weight = weights[l + b * PARTS];
                    // A dead feature does not count, whatever its values are.
                    sum += weight * select(vec4<f32>(), values[b], weight != 0.0);
                }
            }
        }
        workgroupBarrier();
    }
    sums[thread] = sum;
    for (var half = PARTS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if part < half {
            sums[thread] += sums[thread + half * NEURON_VECTORS];
        }
    }
    let energy = coefficient_gram[k * params.gram_stride + k];
    let inverse = 1.0 / energy;
    let is_alive = energy > 0.0
        && bitcast<u32>(energy) <= EXPONENT_BITS
        && (bitcast<u32>(inverse) & EXPONENT_BITS) != EXPONENT_BITS;
    if part == 0u && is_inside && is_alive {
        let at = k * row_vectors + vector;
        let value = (cross_products[at] - sums[thread]) * inverse;
        // The padding stays zero.
        features[at] = select(vec4<f32>(), value, vec4(vector * 4u) + vec4(0u, 1u, 2u, 3u) < vec4(params.columns));
    }
}
