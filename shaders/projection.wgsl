// P = scale · X Zᵀ: out_ik = scale · Σⱼ x_ij z_kj
//
// x: rows × columns elements. features: rank × columns f32. out: rows × rank f32.
// A workgroup computes a tile of TILE tokens × TILE features. Extent (rows, rank, 1).

import package::shared::elements::{ELEMENTS, QUADS, quad};
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

// A stage of an operand is loaded in blocks of four rows times four neurons, one for each of half the threads. A thread
// transposes its block, so that it writes whole vectors. If several threads wrote components of one vector, a device
// might write all of the vector for each of them.
const STAGING = THREADS / 2u;
// Neighbouring threads that load from the same rows: 32 bytes of f32. With more of them, threads would write to the
// same memory banks.
const NEIGHBOURS = 2u;

// Which blocks a thread loads: four rows of an operand, and four neurons of each stage.
struct Blocks {
    // Whether the rows are tokens. Otherwise they are features.
    are_left: bool,
    // Where each row begins in memory, in vectors.
    rows: vec4<u32>,
    // Quads of rows, and of neurons, before the block in the stage.
    row_quad: u32,
    neuron_quad: u32,
}

// The vectors that hold a block's numbers, row by row.
struct Block {
    first: vec4<u32>,
    second: vec4<u32>,
    third: vec4<u32>,
    fourth: vec4<u32>,
}

fn blocks_of(thread: u32, workgroup: vec2<u32>) -> Blocks {
    let group = thread % STAGING / NEIGHBOURS;
    let row_quad = group % TILE_QUADS;
    let neuron_quad = group / TILE_QUADS * NEIGHBOURS + thread % NEIGHBOURS;
    let rows = row_quad * 4u + vec4(0u, 1u, 2u, 3u);
    // Beyond the last row, the last row is loaded again. Its products are not stored.
    let last_token = vec4(params.rows - 1u);
    let token_rows = (params.first + min(workgroup.x * TILE + rows, last_token) * params.stride) / ELEMENTS;
    let feature_rows = min(workgroup.y * TILE + rows, vec4(params.rank - 1u)) * (params.feature_stride / 4u);
    let are_left = thread < STAGING;
    return Blocks(are_left, select(feature_rows, token_rows, are_left), row_quad, neuron_quad);
}

// The block of the stage that begins with neuron `first`. Beyond the last neuron, the last one is loaded again. Its
// products are not computed.
fn load(blocks: Blocks, first: u32) -> Block {
    let neuron = min(first + blocks.neuron_quad * 4u, params.columns - 1u);
    if blocks.are_left {
        let at = blocks.rows + neuron / ELEMENTS;
        return Block(x[at.x], x[at.y], x[at.z], x[at.w]);
    }
    let at = blocks.rows + neuron / 4u;
    return Block(
        bitcast<vec4<u32>>(features[at.x]),
        bitcast<vec4<u32>>(features[at.y]),
        bitcast<vec4<u32>>(features[at.z]),
        bitcast<vec4<u32>>(features[at.w]),
    );
}

fn stage(blocks: Blocks, block: Block) {
    let at = blocks.neuron_quad * 4u * TILE_QUADS + blocks.row_quad;
    if blocks.are_left {
        let index = blocks.neuron_quad % QUADS;
        let neurons = transpose(mat4x4(
            quad(block.first, index),
            quad(block.second, index),
            quad(block.third, index),
            quad(block.fourth, index),
        ));
        left_tile[at] = neurons[0];
        left_tile[at + TILE_QUADS] = neurons[1];
        left_tile[at + 2u * TILE_QUADS] = neurons[2];
        left_tile[at + 3u * TILE_QUADS] = neurons[3];
    } else {
        let neurons = transpose(mat4x4(
            bitcast<vec4<f32>>(block.first),
            bitcast<vec4<f32>>(block.second),
            bitcast<vec4<f32>>(block.third),
            bitcast<vec4<f32>>(block.fourth),
        ));
        right_tile[at] = neurons[0];
        right_tile[at + TILE_QUADS] = neurons[1];
        right_tile[at + 2u * TILE_QUADS] = neurons[2];
        right_tile[at + 3u * TILE_QUADS] = neurons[3];
    }
}

fn store_quad(token: u32, feature: u32, sums: vec4<f32>, accumulate: bool) {
    if token < params.rows && feature < params.rank {
        let at = token * (params.out_stride / 4u) + feature / 4u;
        // The padding stays zero.
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
    let blocks = blocks_of(thread, workgroup.xy);
    let read = read_of(thread);
    let token = workgroup.x * TILE + read.left * 4u;
    let feature = workgroup.y * TILE + read.right * 4u;

    var accumulate = false;
    stage(blocks, load(blocks, 0u));
    for (var first = 0u; first < params.columns; first += CHAIN) {
        var sums = Sums();
        let chain = min(params.columns - first, CHAIN);
        for (var whole = 0u; whole < chain / DEPTH; whole++) {
            workgroupBarrier();
            multiply_half(&sums, read, 0u);
            // The next stage is being loaded while the other half is multiplied.
            let next = load(blocks, first + (whole + 1u) * DEPTH);
            multiply_half(&sums, read, DEPTH / 2u);
            workgroupBarrier();
            stage(blocks, next);
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
