// out (+)= scale · YᵀX: out_kj = scale · Σᵢ y_ik x_ij
//
// x: rows × columns elements. y: rows × rank f32. out: splits × rank × columns f32.
// A workgroup computes a tile of TILE features × TILE neurons over the rows of its split.
// If `symmetric`, y is x, both f32: tiles left of the diagonal are those right of it, transposed.
// Extent (columns, rank, splits). Split s sums the rows s · split_rows to (s + 1) · split_rows - 1.

import package::shared::elements::{ELEMENTS, QUADS, quad};
import package::shared::register_tile::{
    CHAIN, DEPTH, SIDE, Sums, THREADS, TILE, TILE_QUADS, left_tile, multiply, multiply_half, read_of, right_tile,
};

struct Params {
    rows: u32,
    columns: u32,
    stride: u32,
    rank: u32,
    coefficient_stride: u32,
    out_stride: u32,
    split_rows: u32,
    accumulate: u32,
    first: u32,
    scale: f32,
    symmetric: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

const TILE_VECTORS = TILE / ELEMENTS;
// Rows that the workgroup loads at once: a whole stage of f16 or bf16, or half a stage of f32.
const X_ROWS = THREADS / TILE_VECTORS;
const Y_ROWS = THREADS / TILE_QUADS;

// What a thread loads for a stage.
struct Loads {
    x: vec4<u32>,
    @if(f32)
    more_x: vec4<u32>,
    y: vec4<f32>,
    more_y: vec4<f32>,
}

// Where a thread loads. Beyond the last column or row it loads the last one again. The products of these are not
// stored, or not computed.
struct Places {
    x: u32,
    last_x: u32,
    y: u32,
    last_y: u32,
}

fn load(at: Places) -> Loads {
    var loads: Loads;
    loads.x = x[min(at.x, at.last_x)];
    @if(f32) {
        loads.more_x = x[min(at.x + X_ROWS * (params.stride / ELEMENTS), at.last_x)];
    }
    loads.y = y[min(at.y, at.last_y)];
    loads.more_y = y[min(at.y + Y_ROWS * (params.coefficient_stride / 4u), at.last_y)];
    return loads;
}

fn stage(loads: Loads, thread: u32) {
    for (var q = 0u; q < QUADS; q++) {
        right_tile[thread * QUADS + q] = quad(loads.x, q);
    }
    @if(f32) {
        right_tile[THREADS + thread] = quad(loads.more_x, 0u);
    }
    left_tile[thread] = loads.y;
    left_tile[THREADS + thread] = loads.more_y;
}

fn store_quad(split: u32, feature: u32, neuron: u32, sums: vec4<f32>, accumulate: bool) {
    if feature < params.rank && neuron < params.columns {
        let at = (split * params.rank + feature) * (params.out_stride / 4u) + neuron / 4u;
        // The padding stays zero, whatever lies behind the last column of x.
        var values = select(vec4<f32>(), params.scale * sums, neuron + vec4(0u, 1u, 2u, 3u) < vec4(params.columns));
        if accumulate {
            values += out[at];
        }
        out[at] = values;
    }
}

fn store(split: u32, feature: u32, neuron: u32, sums: mat4x4<f32>, accumulate: bool) {
    store_quad(split, feature, neuron, sums[0], accumulate);
    store_quad(split, feature + 1u, neuron, sums[1], accumulate);
    store_quad(split, feature + 2u, neuron, sums[2], accumulate);
    store_quad(split, feature + 3u, neuron, sums[3], accumulate);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    var sides = 1u;
    @if(f32) {
        if params.symmetric != 0u && workgroup.x < workgroup.y {
            return;
        }
        if params.symmetric != 0u && workgroup.x > workgroup.y {
            sides = 2u;
        }
    }
    let start = min(workgroup.z * params.split_rows, params.rows);
    let end = start + min(params.split_rows, params.rows - start);
    let x_stride = params.stride / ELEMENTS;
    let y_stride = params.coefficient_stride / 4u;
    let x_column = params.first / ELEMENTS
        + min(workgroup.x * TILE_VECTORS + thread % TILE_VECTORS, (params.columns - 1u) / ELEMENTS);
    let y_column = min(workgroup.y * TILE_QUADS + thread % TILE_QUADS, (params.rank - 1u) / 4u);
    var at = Places(
        (start + thread / TILE_VECTORS) * x_stride + x_column,
        (end - 1u) * x_stride + x_column,
        (start + thread / TILE_QUADS) * y_stride + y_column,
        (end - 1u) * y_stride + y_column,
    );
    let read = read_of(thread);
    let feature = workgroup.y * TILE + read.left * 4u;
    let neuron = workgroup.x * TILE + read.right * 4u;

    var accumulate = params.accumulate != 0u;
    stage(load(at), thread);
    for (var first = start; first < end; first += CHAIN) {
        var sums = Sums();
        let chain = min(end - first, CHAIN);
        for (var whole = chain / DEPTH; whole > 0u; whole--) {
            workgroupBarrier();
            multiply_half(&sums, read, 0u);
            // The next stage is being loaded while the other half is multiplied.
            at.x += DEPTH * x_stride;
            at.y += DEPTH * y_stride;
            let next = load(at);
            multiply_half(&sums, read, DEPTH / 2u);
            workgroupBarrier();
            stage(next, thread);
        }
        if chain % DEPTH > 0u {
            // The last rows of the split.
            workgroupBarrier();
            for (var row = 0u; row < chain % DEPTH; row++) {
                multiply(&sums, read, row);
            }
        }
        // A second time for the mirror image, with the rows and columns exchanged.
        for (var side = 0u; side < sides; side++) {
            let row = select(feature, neuron, side > 0u);
            let column = select(neuron, feature, side > 0u);
            store(workgroup.z, row, column, sums.near, accumulate);
            @if(wide) {
                store(workgroup.z, row, column + 4u * SIDE, sums.right, accumulate);
                store(workgroup.z, row + 4u * SIDE, column, sums.below, accumulate);
                store(workgroup.z, row + 4u * SIDE, column + 4u * SIDE, sums.across, accumulate);
            }
            @if(f32) {
                sums.near = transpose(sums.near);
                @if(wide) {
                    let right = sums.right;
                    sums.right = transpose(sums.below);
                    sums.below = transpose(right);
                    sums.across = transpose(sums.across);
                }
            }
        }
        accumulate = true;
    }
}
