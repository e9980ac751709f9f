// What is left of the cross product for a range of features k, before coordinate descent on them:
//   cross_k = cross_k - sum_(l != k) C_kl z_l.
// coefficient_gram C = Y^T Y [K, K] (symmetric), features Z [K, d], cross Y^T X [K, d].
// A workgroup takes 64 features k, from a multiple of four on, and 64 or 112 neurons. A thread takes four neurons of four features.
// It goes over 30 or 32 features l at a time. Few of these keep one of the four neurons: a word says which.

import package::shared::vote::{goes_on};

// Vectors of four features k, and of four neurons.
const ROWS = 16u;
@if(neurons_112)
const COLUMNS = 28u;
@else
const COLUMNS = 16u;
const THREADS = ROWS * COLUMNS;
// Features l that are staged at a time. Each has a bit. 16 KiB have no room for 32 of them.
@if(neurons_112)
const CHUNK = 32u;
@else
const CHUNK = 30u;
// A thread stages vectors of two features, which are so far apart.
const HALF = CHUNK / 2u;
const STAGED_VALUES = HALF * COLUMNS;
const STAGED_WEIGHTS = HALF * ROWS;
const LANES = vec4(0u, 1u, 2u, 3u);

struct Params {
    first_feature: u32,
    count: u32,
    rank: u32,
    columns: u32,
    stride: u32,
    gram_stride: u32,
}

@group(0) @binding(0) var<storage, read> coefficient_gram: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> features: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> cross_products: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

// Features l, and their weights for features k.
var<workgroup> values: array<vec4<f32>, CHUNK * COLUMNS>;
var<workgroup> weights: array<vec4<f32>, CHUNK * ROWS>;
// For each vector of neurons, which features l keep one of them, and behind these, which have weights. While a chunk is
// looked at, the words for the next one are cleared, so there are two sets of them.
const MASKS = COLUMNS + 1u;
var<workgroup> masks: array<atomic<u32>, 2u * MASKS>;

// C_kl for four features from 4 * quad on, zero if there is no feature l. A feature's own term does not count.
fn weight_vector(l: u32, quad: u32) -> vec4<f32> {
    let row_vectors = params.gram_stride / 4u;
    let vector = coefficient_gram[min(l, params.rank - 1u) * row_vectors + min(quad, row_vectors - 1u)];
    return select(vector, vec4<f32>(), (vec4(4u * quad) + LANES == vec4(l)) | vec4(l >= params.rank));
}

// The v-th vector of a feature. Without such a feature or vector, any other, which does not count then.
fn feature_vector(l: u32, v: u32) -> vec4<f32> {
    let row_vectors = params.stride / 4u;
    return features[min(l, params.rank - 1u) * row_vectors + min(v, row_vectors - 1u)];
}

// What a thread contributes to a chunk: vectors and weights of two features.
struct Stage {
    near: vec4<f32>,
    far: vec4<f32>,
    near_weights: vec4<f32>,
    far_weights: vec4<f32>,
}

fn load(chunk: u32, first_quad: u32, first_vector: u32, thread: u32) -> Stage {
    var stage = Stage();
    let l = chunk + thread / COLUMNS;
    let v = first_vector + thread % COLUMNS;
    stage.near = feature_vector(l, v);
    stage.far = feature_vector(l + HALF, v);
    if thread < STAGED_WEIGHTS {
        let weighing = chunk + thread / ROWS;
        let quad = first_quad + thread % ROWS;
        stage.near_weights = weight_vector(weighing, quad);
        stage.far_weights = weight_vector(weighing + HALF, quad);
    }
    return stage;
}

// Sets the bit of a feature l if its vector is not zero.
fn mark(mask: u32, l: u32, vector: vec4<f32>) {
    if any(vector != vec4<f32>()) {
        atomicOr(&masks[mask], 1u << l);
    }
}

fn put(stage: Stage, first_mask: u32, thread: u32) {
    if thread < STAGED_VALUES {
        let l = thread / COLUMNS;
        let mask = first_mask + thread % COLUMNS;
        values[thread] = stage.near;
        values[thread + STAGED_VALUES] = stage.far;
        mark(mask, l, stage.near);
        mark(mask, l + HALF, stage.far);
    }
    if thread < STAGED_WEIGHTS {
        let l = thread / ROWS;
        weights[thread] = stage.near_weights;
        weights[thread + STAGED_WEIGHTS] = stage.far_weights;
        // A dead feature does not count, whatever its values are.
        mark(first_mask + COLUMNS, l, stage.near_weights);
        mark(first_mask + COLUMNS, l + HALF, stage.far_weights);
    }
}

// The padding stays zero, because that of the features is.
fn subtract_from(k: u32, vector: u32, sum: vec4<f32>) {
    let row_vectors = params.stride / 4u;
    if k >= params.first_feature && k < params.first_feature + params.count && vector < row_vectors {
        cross_products[k * row_vectors + vector] -= sum;
    }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let first_quad = params.first_feature / 4u + workgroup.y * ROWS;
    let first_vector = workgroup.x * COLUMNS;
    // Threads side by side have the same neurons, so that they look at the same features.
    let column = thread / ROWS;
    let row = thread % ROWS;
    if thread < MASKS {
        atomicStore(&masks[thread], 0u);
    }
    var first = vec4<f32>();
    var second = vec4<f32>();
    var third = vec4<f32>();
    var fourth = vec4<f32>();
    var first_mask = 0u;
    var next = load(0u, first_quad, first_vector, thread);
    for (var chunk = 0u; chunk < params.rank; chunk += CHUNK) {
        workgroupBarrier();
        put(next, first_mask, thread);
        workgroupBarrier();
        // Loads for the next chunk take their time while this one is looked at.
        next = load(chunk + CHUNK, first_quad, first_vector, thread);
        var mask = atomicLoad(&masks[first_mask + column]) & atomicLoad(&masks[first_mask + COLUMNS]);
        first_mask = MASKS - first_mask;
        if thread < MASKS {
            atomicStore(&masks[first_mask + thread], 0u);
        }
        while goes_on(mask != 0u) {
            if mask != 0u {
                let l = firstTrailingBit(mask);
                mask &= mask - 1u;
                let value = values[l * COLUMNS + column];
                let weight = weights[l * ROWS + row];
                first += weight.x * value;
                second += weight.y * value;
                third += weight.z * value;
                fourth += weight.w * value;
            }
        }
    }
    let k = 4u * (first_quad + row);
    let vector = first_vector + column;
    subtract_from(k, vector, first);
    subtract_from(k + 1u, vector, second);
    subtract_from(k + 2u, vector, third);
    subtract_from(k + 3u, vector, fourth);
}
