// Coordinate descent (HALS; Cichocki and Phan 2009) on the features k from first_feature up to end_feature, one after the
// other:
//   z_k = r_k cut to its m largest magnitudes, divided by its norm, unchanged if C_kk = 0;
//   r_l = r_l - C_kl (z_k - z_k before) for the later features l up to end_residual.
// coefficient_gram C = Y^T Y [K, K], residuals r [K, d], features Z [K, d], kept_indices [K, m] (ascending),
// kept_values [K, m].
// One workgroup. Each thread reads and writes the same neurons of every row, so that none waits for memory that another
// thread writes. Of a row, only the neurons are written that were kept or are kept now.

import package::shared::selection::{BITS, MAGNITUDE, THREADS, VECTORS_OF_WORD, keep_largest, magnitudes_of};

const EXPONENT_BITS = 0x7f800000u;

struct Params {
    first_feature: u32,
    end_feature: u32,
    end_residual: u32,
    columns: u32,
    stride: u32,
    gram_stride: u32,
    kept: u32,
}

@group(0) @binding(0) var<storage, read> coefficient_gram: array<f32>;
@group(0) @binding(1) var<storage, read_write> residuals: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> features: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> kept_indices: array<u32>;
@group(0) @binding(4) var<storage, read_write> kept_values: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

fn candidates(feature: u32, v: u32) -> vec4<f32> {
    return residuals[feature * (params.stride / 4u) + v];
}

// The v-th vectors of the residuals of four features.
fn four_residuals(l: u32, v: u32) -> mat4x4<f32> {
    let row_vectors = params.stride / 4u;
    let at = l * row_vectors + v;
    return mat4x4(
        residuals[at], residuals[at + row_vectors], residuals[at + 2u * row_vectors], residuals[at + 3u * row_vectors],
    );
}

// Corrects the residuals of four later features. `before` are their vectors.
fn correct(feature: u32, l: u32, v: u32, change: vec4<f32>, before: mat4x4<f32>) {
    let row_vectors = params.stride / 4u;
    let at = l * row_vectors + v;
    let weights = feature * params.gram_stride + l;
    residuals[at] = before[0] - coefficient_gram[weights] * change;
    residuals[at + row_vectors] = before[1] - coefficient_gram[weights + 1u] * change;
    residuals[at + 2u * row_vectors] = before[2] - coefficient_gram[weights + 2u] * change;
    residuals[at + 3u * row_vectors] = before[3] - coefficient_gram[weights + 3u] * change;
}

// Which neurons the feature keeps so far, a bit for each, if the words suffice for a row.
const MARKED_WORDS = 2u * THREADS;
var<workgroup> kept_before: array<atomic<u32>, MARKED_WORDS>;

fn is_marked() -> bool {
    return params.stride / 4u <= MARKED_WORDS * VECTORS_OF_WORD;
}

fn mark_kept(feature: u32, thread: u32) {
    for (var word = thread; word < MARKED_WORDS; word += THREADS) {
        atomicStore(&kept_before[word], 0u);
    }
    workgroupBarrier();
    for (var entry = thread; is_marked() && entry < params.kept; entry += THREADS) {
        let neuron = kept_indices[feature * params.kept + entry];
        if neuron < params.columns {
            atomicOr(&kept_before[neuron / 32u], 1u << (neuron % 32u));
        }
    }
}

// Which of the v-th four neurons the feature keeps so far.
fn are_kept(feature: u32, v: u32) -> vec4<bool> {
    if is_marked() {
        let word = atomicLoad(&kept_before[v / VECTORS_OF_WORD]);
        return (vec4(word >> (v % VECTORS_OF_WORD * 4u)) & BITS) != vec4(0u);
    }
    return features[feature * (params.stride / 4u) + v] != vec4<f32>();
}

fn changes(feature: u32, v: u32) -> bool {
    return any(are_kept(feature, v));
}

fn replace(feature: u32, v: u32, result: vec4<f32>) {
    let row_vectors = params.stride / 4u;
    let at = feature * row_vectors + v;
    let change = result - features[at];
    features[at] = result;
    if any(change != vec4<f32>()) {
        var l = feature + 1u;
        // Software devices end a shader after 65,535 iterations of its loops, so one has much to do.
        for (; l + 16u <= params.end_residual; l += 16u) {
            correct(feature, l, v, change, four_residuals(l, v));
            correct(feature, l + 4u, v, change, four_residuals(l + 4u, v));
            correct(feature, l + 8u, v, change, four_residuals(l + 8u, v));
            correct(feature, l + 12u, v, change, four_residuals(l + 12u, v));
        }
        // Four loads side by side hide each other's latency.
        for (; l + 4u <= params.end_residual; l += 4u) {
            correct(feature, l, v, change, four_residuals(l, v));
        }
        for (; l < params.end_residual; l++) {
            residuals[l * row_vectors + v] -= coefficient_gram[feature * params.gram_stride + l] * change;
        }
    }
}

var<workgroup> least: atomic<u32>;
var<workgroup> kept_count: atomic<u32>;

// The least magnitude of a residual among the neurons that the feature keeps so far. So many others are as large, that
// few can be among the largest. It is 0 if the feature keeps fewer neurons than it may.
fn least_kept(feature: u32, thread: u32) -> u32 {
    if thread == 0u {
        atomicStore(&least, MAGNITUDE);
        atomicStore(&kept_count, 0u);
    }
    workgroupBarrier();
    var own = MAGNITUDE;
    var count = 0u;
    for (var v = thread; v < params.stride / 4u; v += THREADS) {
        let is_kept = are_kept(feature, v);
        if any(is_kept) {
            let kept = select(vec4(MAGNITUDE), magnitudes_of(candidates(feature, v)), is_kept);
            own = min(own, min(min(kept.x, kept.y), min(kept.z, kept.w)));
            let ones = select(vec4(0u), vec4(1u), is_kept);
            count += ones.x + ones.y + ones.z + ones.w;
        }
    }
    if count > 0u {
        atomicMin(&least, own);
        atomicAdd(&kept_count, count);
    }
    workgroupBarrier();
    return select(0u, atomicLoad(&least), atomicLoad(&kept_count) >= min(params.kept, params.columns));
}

fn energy_of(feature: u32) -> f32 {
    return coefficient_gram[feature * params.gram_stride + feature];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
    var next_energy = energy_of(params.first_feature);
    for (var k = params.first_feature; k < params.end_feature; k++) {
        let energy = next_energy;
        // It takes its time while this feature is looked at.
        next_energy = energy_of(min(k + 1u, params.end_feature - 1u));
        let inverse = 1.0 / energy;
        let is_alive = energy > 0.0
            && bitcast<u32>(energy) <= EXPONENT_BITS
            && (bitcast<u32>(inverse) & EXPONENT_BITS) != EXPONENT_BITS;
        if is_alive {
            mark_kept(k, thread);
            keep_largest(k, least_kept(k, thread), true, 1.0, thread);
        }
        workgroupBarrier();
    }
}
