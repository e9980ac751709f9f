// P = scale · X Zᵀ: out_ik = scale · Σⱼ x_ij z_kj
//
// x: rows × columns elements. features: rank × columns f32. out: rows × rank f32.
// A workgroup computes a tile of TILE tokens × TILE features. Extent (rows, rank, 1).

import package::shared::elements::{ELEMENTS, quad};
import package::shared::register_tile::{
    CHAIN, DEPTH, SIDE, Sums, THREADS, TILE, TILE_QUADS, left_tile, multiply, multiply_half, read_of, right_tile,
};

struct Params {
    rows: u32,
    columns: u32,
    stride: u32,
    rank: u32,
    feature_stride: u32,
    out_stride: u32,
    first: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> features: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

// Neighbouring threads that load from one row, neighbouring neurons each: 16 bytes of f16 or bf16, or twice 16 of f32.
const ROW_THREADS = THREADS / TILE;
const NEURONS = DEPTH / ROW_THREADS;

// What a thread loads for a stage.
struct Loads {
    x: vec4<u32>,
    @if(f32)
    more_x: vec4<u32>,
    z: vec4<f32>,
    more_z: vec4<f32>,
}

// Where it loads. Beyond the last column or row the last one is loaded, whose products are not stored or not made.
struct Places {
    x: u32,
    last_x: u32,
    z: u32,
    last_z: u32,
}

fn load(at: Places) -> Loads {
    var loads: Loads;
    loads.x = x[min(at.x, at.last_x)];
    @if(f32) {
        loads.more_x = x[min(at.x + 1u, at.last_x)];
    }
    loads.z = features[min(at.z, at.last_z)];
    loads.more_z = features[min(at.z + 1u, at.last_z)];
    return loads;
}

// Turns a quad of neurons of a row into four depths of the tile. `at` counts elements.
fn stage_left(at: u32, values: vec4<f32>) {
    left_tile[at / 4u][at % 4u] = values.x;
    left_tile[at / 4u + TILE_QUADS][at % 4u] = values.y;
    left_tile[at / 4u + 2u * TILE_QUADS][at % 4u] = values.z;
    left_tile[at / 4u + 3u * TILE_QUADS][at % 4u] = values.w;
}

fn stage_right(at: u32, values: vec4<f32>) {
    right_tile[at / 4u][at % 4u] = values.x;
    right_tile[at / 4u + TILE_QUADS][at % 4u] = values.y;
    right_tile[at / 4u + 2u * TILE_QUADS][at % 4u] = values.z;
    right_tile[at / 4u + 3u * TILE_QUADS][at % 4u] = values.w;
}

fn stage(loads: Loads, thread: u32) {
    let at = thread % ROW_THREADS * NEURONS * TILE + thread / ROW_THREADS;
    @if(f32) {
        stage_left(at, quad(loads.x, 0u));
        stage_left(at + 4u * TILE, quad(loads.more_x, 0u));
    }
    @if(f16 || bf16) {
        stage_left(at, quad(loads.x, 0u));
        stage_left(at + 4u * TILE, quad(loads.x, 1u));
    }
    stage_right(at, loads.z);
    stage_right(at + 4u * TILE, loads.more_z);
}

fn store_quad(token: u32, feature: u32, sums: vec4<f32>, accumulate: bool) {
    if token < params.rows && feature < params.rank {
        let at = token * (params.out_stride / 4u) + feature / 4u;
        // Padding stays zero.
        var values = select(vec4<f32>(), params.scale * sums, feature + vec4(0u, 1u, 2u, 3u) < vec4(params.rank));
        if accumulate {
            values += out[at];
        }
        out[at] = values;
    }
}

fn store(token: u32, feature: u32, sums: mat4x4<f32>, accumulate: bool) {
    store_quad(token, feature, sums[0], accumulate);
    store_quad(token + 1u, feature, sums[1], accumulate);
    store_quad(token + 2u, feature, sums[2], accumulate);
    store_quad(token + 3u, feature, sums[3], accumulate);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let place = thread % ROW_THREADS;
    let token_row = min(workgroup.x * TILE + thread / ROW_THREADS, params.rows - 1u);
    let x_row = (params.first + token_row * params.stride) / ELEMENTS;
    let z_row = min(workgroup.y * TILE + thread / ROW_THREADS, params.rank - 1u) * (params.feature_stride / 4u);
    var at = Places(
        x_row + place * (NEURONS / ELEMENTS),
        x_row + (params.columns - 1u) / ELEMENTS,
        z_row + place * (NEURONS / 4u),
        z_row + (params.columns - 1u) / 4u,
    );
    let read = read_of(thread);
    let token = workgroup.x * TILE + read.left * 4u;
    let feature = workgroup.y * TILE + read.right * 4u;

    var accumulate = false;
    stage(load(at), thread);
    for (var first = 0u; first < params.columns; first += CHAIN) {
        var sums = Sums();
        let chain = min(params.columns - first, CHAIN);
        for (var whole = chain / DEPTH; whole > 0u; whole--) {
            workgroupBarrier();
            multiply_half(&sums, read, 0u);
            // The next stage is on its way while the other half is multiplied.
            at.x += DEPTH / ELEMENTS;
            at.z += DEPTH / 4u;
            let next = load(at);
            multiply_half(&sums, read, DEPTH / 2u);
            workgroupBarrier();
            stage(next, thread);
        }
        if chain % DEPTH > 0u {
            // The last neurons.
            workgroupBarrier();
            for (var neuron = 0u; neuron < chain % DEPTH; neuron++) {
                multiply(&sums, read, neuron);
            }
        }
        store(token, feature, sums.near, accumulate);
        @if(wide) {
            store(token, feature + 4u * SIDE, sums.right, accumulate);
            store(token + 4u * SIDE, feature, sums.below, accumulate);
            store(token + 4u * SIDE, feature + 4u * SIDE, sums.across, accumulate);
        }
        accumulate = true;
    }
}
