// out (+)= scale · YᵀX: out_kj = scale · Σᵢ y_ik x_ij
//
// x: rows × columns elements. y: rows × rank f32. out: splits × rank × columns f32.
// A workgroup computes a tile of 64 features × 64 neurons over the rows of its split, a thread 4 × 4 neighbours of it.
// Dispatch (⌈columns/64⌉, ⌈rank/64⌉, splits); split s sums rows s · split_rows to (s + 1) · split_rows - 1.

import package::shared::elements::{ELEMENTS, QUADS, quad};

struct Params {
    rows: u32,
    columns: u32,
    stride: u32,
    rank: u32,
    coefficient_stride: u32,
    out_stride: u32,
    split_rows: u32,
    accumulate: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

const THREADS = 256u;
// Features and neurons of a tile, and as quads and stored vectors.
const TILE = 64u;
const TILE_QUADS = TILE / 4u;
const TILE_VECTORS = TILE / ELEMENTS;
// Tokens staged at once.
const DEPTH = 32u;
// Loads of each thread for one stage.
const X_LOADS = DEPTH * TILE_VECTORS / THREADS;
const Y_LOADS = DEPTH * TILE_QUADS / THREADS;

var<workgroup> x_tile: array<vec4<f32>, DEPTH * TILE_QUADS>;
var<workgroup> y_tile: array<vec4<f32>, DEPTH * TILE_QUADS>;

fn store(split: u32, feature: u32, neuron: u32, sums: vec4<f32>) {
    if feature < params.rank && neuron < params.columns {
        let at = (split * params.rank + feature) * (params.out_stride / 4u) + neuron / 4u;
        // Padding stays zero, whatever lies behind the last column of x.
        var values = select(vec4<f32>(), params.scale * sums, neuron + vec4(0u, 1u, 2u, 3u) < vec4(params.columns));
        if params.accumulate != 0u {
            values += out[at];
        }
        out[at] = values;
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let first_vector = workgroup.x * TILE_VECTORS;
    let vectors = (params.columns + ELEMENTS - 1u) / ELEMENTS;
    let first_quad = workgroup.y * TILE_QUADS;
    let coefficient_quads = params.coefficient_stride / 4u;
    let start = min(workgroup.z * params.split_rows, params.rows);
    let end = start + min(params.split_rows, params.rows - start);
    let feature_quad = thread / TILE_QUADS;
    let neuron_quad = thread % TILE_QUADS;
    // One variable for each of the thread's features: an array might be put in slow memory.
    var sums0 = vec4<f32>();
    var sums1 = vec4<f32>();
    var sums2 = vec4<f32>();
    var sums3 = vec4<f32>();
    for (var first = start; first < end; first += DEPTH) {
        for (var load = 0u; load < X_LOADS; load++) {
            let task = load * THREADS + thread;
            let row = task / TILE_VECTORS;
            let vector = task % TILE_VECTORS;
            var words = vec4<u32>();
            if first + row < end && first_vector + vector < vectors {
                words = x[(first + row) * (params.stride / ELEMENTS) + first_vector + vector];
            }
            for (var q = 0u; q < QUADS; q++) {
                x_tile[row * TILE_QUADS + vector * QUADS + q] = quad(words, q);
            }
        }
        for (var load = 0u; load < Y_LOADS; load++) {
            let task = load * THREADS + thread;
            let row = task / TILE_QUADS;
            let index = task % TILE_QUADS;
            var values = vec4<f32>();
            if first + row < end && first_quad + index < coefficient_quads {
                values = y[(first + row) * coefficient_quads + first_quad + index];
            }
            y_tile[task] = values;
        }
        workgroupBarrier();
        // Each stage is summed by itself: one f32 sum over thousands of tokens would lose digits.
        var stage0 = vec4<f32>();
        var stage1 = vec4<f32>();
        var stage2 = vec4<f32>();
        var stage3 = vec4<f32>();
        for (var row = 0u; row < DEPTH; row++) {
            let values = x_tile[row * TILE_QUADS + neuron_quad];
            let weights = y_tile[row * TILE_QUADS + feature_quad];
            stage0 = fma(vec4(weights.x), values, stage0);
            stage1 = fma(vec4(weights.y), values, stage1);
            stage2 = fma(vec4(weights.z), values, stage2);
            stage3 = fma(vec4(weights.w), values, stage3);
        }
        sums0 += stage0;
        sums1 += stage1;
        sums2 += stage2;
        sums3 += stage3;
        workgroupBarrier();
    }
    let feature = (first_quad + feature_quad) * 4u;
    let neuron = workgroup.x * TILE + neuron_quad * 4u;
    store(workgroup.z, feature, neuron, sums0);
    store(workgroup.z, feature + 1u, neuron, sums1);
    store(workgroup.z, feature + 2u, neuron, sums2);
    store(workgroup.z, feature + 3u, neuron, sums3);
}
