// P = scale · X Zᵀ: out_ik = scale · Σⱼ x_ij z_kj
//
// x: rows × columns elements. features: rank × columns f32. out: rows × rank f32.
// A workgroup computes a tile of 64 tokens × 64 features, a thread 4 × 4 of them that lie 16 apart.
// Dispatch (⌈rows/64⌉, ⌈rank/64⌉, 1).

import package::shared::elements::{ELEMENTS, QUADS, masked, quad};

struct Params {
    rows: u32,
    columns: u32,
    stride: u32,
    rank: u32,
    feature_stride: u32,
    out_stride: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> features: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

const THREADS = 256u;
const TILE = 64u;
// Rows of a tile from one of a thread's results to the next.
const STEP = 16u;
// Neurons staged at once, and as quads and stored vectors.
const DEPTH = 32u;
const DEPTH_QUADS = DEPTH / 4u;
const DEPTH_VECTORS = DEPTH / ELEMENTS;
// Loads of each thread for one stage.
const X_LOADS = TILE * DEPTH_VECTORS / THREADS;
const FEATURE_LOADS = TILE * DEPTH_QUADS / THREADS;

var<workgroup> x_tile: array<vec4<f32>, TILE * DEPTH_QUADS>;
var<workgroup> feature_tile: array<vec4<f32>, TILE * DEPTH_QUADS>;

// Where a quad of a tile's row lies. The XOR with the row lets neighbouring threads read the same quad of neighbouring
// rows without bank conflicts, and without padding, for which 16 KiB have no room.
fn place(row: u32, index: u32) -> u32 {
    return row * DEPTH_QUADS + (index ^ (row % DEPTH_QUADS));
}

// sums + z · values, where column j of z holds neuron j of four features.
fn multiply_add(z: mat4x4<f32>, values: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    let low = fma(z[1], vec4(values.y), fma(z[0], vec4(values.x), sums));
    return fma(z[3], vec4(values.w), fma(z[2], vec4(values.z), low));
}

fn store(token: u32, first_feature: u32, sums: vec4<f32>) {
    if token < params.rows {
        for (var f = 0u; f < 4u; f++) {
            let feature = first_feature + f * STEP;
            if feature < params.rank {
                out[token * params.out_stride + feature] = params.scale * sums[f];
            }
        }
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let first_token = workgroup.x * TILE;
    let first_feature = workgroup.y * TILE;
    let token = thread / STEP;
    let feature = thread % STEP;
    // One variable for each of the thread's tokens: an array might be put in slow memory.
    var sums0 = vec4<f32>();
    var sums1 = vec4<f32>();
    var sums2 = vec4<f32>();
    var sums3 = vec4<f32>();
    for (var first = 0u; first < params.columns; first += DEPTH) {
        for (var load = 0u; load < X_LOADS; load++) {
            let task = load * THREADS + thread;
            let row = task / DEPTH_VECTORS;
            let vector = task % DEPTH_VECTORS;
            let column = first + vector * ELEMENTS;
            var words = vec4<u32>();
            if first_token + row < params.rows && column < params.columns {
                let at = (first_token + row) * (params.stride / ELEMENTS) + column / ELEMENTS;
                words = masked(x[at], column, params.columns);
            }
            for (var q = 0u; q < QUADS; q++) {
                x_tile[place(row, vector * QUADS + q)] = quad(words, q);
            }
        }
        for (var load = 0u; load < FEATURE_LOADS; load++) {
            let task = load * THREADS + thread;
            let row = task / DEPTH_QUADS;
            let index = task % DEPTH_QUADS;
            let column = first + index * 4u;
            var values = vec4<f32>();
            if first_feature + row < params.rank && column < params.columns {
                values = features[(first_feature + row) * (params.feature_stride / 4u) + column / 4u];
            }
            feature_tile[place(row, index)] = values;
        }
        workgroupBarrier();
        for (var index = 0u; index < DEPTH_QUADS; index++) {
            let z = transpose(mat4x4<f32>(
                feature_tile[place(feature, index)],
                feature_tile[place(feature + STEP, index)],
                feature_tile[place(feature + 2u * STEP, index)],
                feature_tile[place(feature + 3u * STEP, index)],
            ));
            sums0 = multiply_add(z, x_tile[place(token, index)], sums0);
            sums1 = multiply_add(z, x_tile[place(token + STEP, index)], sums1);
            sums2 = multiply_add(z, x_tile[place(token + 2u * STEP, index)], sums2);
            sums3 = multiply_add(z, x_tile[place(token + 3u * STEP, index)], sums3);
        }
        workgroupBarrier();
    }
    store(first_token + token, first_feature + feature, sums0);
    store(first_token + token + STEP, first_feature + feature, sums1);
    store(first_token + token + 2u * STEP, first_feature + feature, sums2);
    store(first_token + token + 3u * STEP, first_feature + feature, sums3);
}
