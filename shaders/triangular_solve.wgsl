// The second half of least squares: solution = (U^T U)^-1 solution, by forward and back substitution.
// factors [factors, K, K] from `cholesky`: U, and its mirror image below the diagonal. status: how the attempts of the
// factorization ended. Each attempt has its factor if there are several. solution [K, d], which holds the right side at
// first. A dispatch takes the columns from first_column up to end_column.
//
// A workgroup takes 32 columns. Rows are taken in blocks of 32. What the rows solved before leave of a block is a
// product: a thread takes four rows of two columns. Then each of 32 threads solves the block for a column, four rows at
// a time. Because the factor is mirrored, both substitutions are the same, with the rows in opposite order. The solution
// in memory is read and written by the same threads, so that none waits for memory that another thread writes.

import package::shared::block_elimination::{
    BLOCK, BLOCK_VECTORS, HALF, ITEMS, ITEM_VECTORS, Residuals, item_tile, matrix_tile, rest_of, square, subtract,
};

const THREADS = 128u;
// Half of the threads load the solution, the other half the factor: four vectors each.
const LOADERS = THREADS / 2u;
// A status of `cholesky`.
const FAILED = 1u;

struct Params {
    rank: u32,
    stride: u32,
    factors: u32,
    first_column: u32,
    end_column: u32,
    feature_stride: u32,
}

@group(0) @binding(0) var<storage, read> factors: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> status: array<u32>;
@group(0) @binding(2) var<storage, read_write> solution: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

// 1/U_kk of the block's rows, and 0 beyond the last row.
var<workgroup> inverses: array<vec4<f32>, BLOCK_VECTORS>;

// Where the factor begins, in vectors.
var<private> base: u32;

// Four columns of the factor from column 4 * vector. Outside, any others: no row or column of the solution depends on them
// that is stored.
fn factor_vector(row: u32, vector: u32) -> vec4<f32> {
    let row_vectors = params.stride / 4u;
    return factors[base + min(row, params.rank - 1u) * row_vectors + min(vector, row_vectors - 1u)];
}

// Four columns of the solution, zero outside.
fn solution_vector(row: u32, vector: u32) -> vec4<f32> {
    let row_vectors = params.feature_stride / 4u;
    let value = solution[min(row, params.rank - 1u) * row_vectors + min(vector, row_vectors - 1u)];
    return select(vec4<f32>(), value, (row < params.rank) & (vector < row_vectors));
}

fn store(row: u32, vector: u32, value: vec4<f32>) {
    let row_vectors = params.feature_stride / 4u;
    if (row < params.rank) & (vector < row_vectors) {
        solution[row * row_vectors + vector] = value;
    }
}

// What a thread contributes to the tiles: the rows of `source`, and the factor's columns of `block` in these rows.
fn load(source: u32, block: u32, first_vector: u32, thread: u32) -> mat4x4<f32> {
    if thread < LOADERS {
        let row = source * BLOCK + thread / BLOCK_VECTORS * 4u;
        let vector = first_vector + thread % BLOCK_VECTORS;
        return mat4x4(
            solution_vector(row, vector), solution_vector(row + 1u, vector),
            solution_vector(row + 2u, vector), solution_vector(row + 3u, vector),
        );
    }
    let row = source * BLOCK + (thread - LOADERS) / BLOCK_VECTORS;
    let vector = block * BLOCK_VECTORS + thread % BLOCK_VECTORS;
    return mat4x4(
        factor_vector(row, vector), factor_vector(row + BLOCK / 4u, vector),
        factor_vector(row + BLOCK / 2u, vector), factor_vector(row + BLOCK / 4u * 3u, vector),
    );
}

// Puts what was loaded into the tiles.
fn put(loaded: mat4x4<f32>, thread: u32) {
    if thread < LOADERS {
        let at = 4u * (thread % BLOCK_VECTORS) * ITEM_VECTORS + thread / BLOCK_VECTORS;
        let columns = transpose(loaded);
        item_tile[at] = columns[0];
        item_tile[at + ITEM_VECTORS] = columns[1];
        item_tile[at + 2u * ITEM_VECTORS] = columns[2];
        item_tile[at + 3u * ITEM_VECTORS] = columns[3];
    } else {
        let at = thread - LOADERS;
        matrix_tile[at] = loaded[0];
        matrix_tile[at + LOADERS] = loaded[1];
        matrix_tile[at + 2u * LOADERS] = loaded[2];
        matrix_tile[at + 3u * LOADERS] = loaded[3];
    }
}

// Stores what a thread has loaded before, as it is in the tile now.
fn store_tile(block: u32, first_vector: u32, thread: u32) {
    if thread < LOADERS {
        let at = 4u * (thread % BLOCK_VECTORS) * ITEM_VECTORS + thread / BLOCK_VECTORS;
        let rows = transpose(mat4x4(
            item_tile[at], item_tile[at + ITEM_VECTORS],
            item_tile[at + 2u * ITEM_VECTORS], item_tile[at + 3u * ITEM_VECTORS],
        ));
        let row = block * BLOCK + thread / BLOCK_VECTORS * 4u;
        let vector = first_vector + thread % BLOCK_VECTORS;
        store(row, vector, rows[0]);
        store(row + 1u, vector, rows[1]);
        store(row + 2u, vector, rows[2]);
        store(row + 3u, vector, rows[3]);
    }
}

// Four rows, from the first to the last.
fn forward(residual: vec4<f32>, weights: mat4x4<f32>, inverse: vec4<f32>) -> vec4<f32> {
    let first = residual.x * inverse.x;
    var rest = residual - first * weights[0];
    let second = rest.y * inverse.y;
    rest -= second * weights[1];
    let third = rest.z * inverse.z;
    rest -= third * weights[2];
    return vec4(first, second, third, rest.w * inverse.w);
}

// Four rows, from the last to the first.
fn backward(residual: vec4<f32>, weights: mat4x4<f32>, inverse: vec4<f32>) -> vec4<f32> {
    let fourth = residual.w * inverse.w;
    var rest = residual - fourth * weights[3];
    let third = rest.z * inverse.z;
    rest -= third * weights[2];
    let second = rest.y * inverse.y;
    rest -= second * weights[1];
    return vec4(rest.x * inverse.x, second, third, fourth);
}

// The place of a row or block in the order of a substitution.
fn in_order(place: u32, count: u32, is_forward: bool) -> u32 {
    return select(count - 1u - place, place, is_forward);
}

// Solves the block for a column.
fn solve_block(column: u32, is_forward: bool) {
    let at = column * ITEM_VECTORS;
    for (var j = 0u; j < BLOCK_VECTORS; j++) {
        let four = in_order(j, BLOCK_VECTORS, is_forward);
        var residual = item_tile[at + four];
        for (var before = 0u; before < j; before++) {
            let solved = in_order(before, BLOCK_VECTORS, is_forward);
            residual = rest_of(residual, square(solved, four), item_tile[at + solved]);
        }
        let weights = square(four, four);
        if is_forward {
            item_tile[at + four] = forward(residual, weights, inverses[four]);
        } else {
            item_tile[at + four] = backward(residual, weights, inverses[four]);
        }
    }
}

fn inverse_of(pivot: f32, row: u32) -> f32 {
    return select(0.0, 1.0 / pivot, row < params.rank);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    // The first attempt that did not fail.
    var chosen = 0u;
    while chosen + 1u < params.factors && status[chosen] == FAILED {
        chosen++;
    }
    base = chosen * params.rank * (params.stride / 4u);
    let first_vector = params.first_column / 4u + workgroup.x * (ITEMS / 4u);
    let blocks = (params.rank + BLOCK - 1u) / BLOCK;
    // A thread's four rows of a block, and the first of its columns.
    let rows = thread % BLOCK_VECTORS;
    let own = thread / BLOCK_VECTORS * ITEM_VECTORS;
    for (var half = 0u; half < 2u; half++) {
        // First U^T w = right side, from the first row, then U solution = w, from the last row.
        let is_forward = half == 0u;
        for (var place = 0u; place < blocks; place++) {
            let block = in_order(place, blocks, is_forward);
            var residuals = Residuals(vec4<f32>(), vec4<f32>());
            var next = load(in_order(0u, blocks, is_forward), block, first_vector, thread);
            for (var solved = 0u; solved < place; solved++) {
                workgroupBarrier();
                put(next, thread);
                workgroupBarrier();
                // Loads take their time while the tiles are multiplied.
                next = load(in_order(solved + 1u, blocks, is_forward), block, first_vector, thread);
                subtract(&residuals, own, rows, 0u);
                subtract(&residuals, own, rows, 1u);
                subtract(&residuals, own, rows, 2u);
                subtract(&residuals, own, rows, 3u);
                subtract(&residuals, own, rows, 4u);
                subtract(&residuals, own, rows, 5u);
                subtract(&residuals, own, rows, 6u);
                subtract(&residuals, own, rows, 7u);
            }
            // The block itself.
            workgroupBarrier();
            put(next, thread);
            workgroupBarrier();
            item_tile[own + rows] += residuals.first;
            item_tile[own + HALF * ITEM_VECTORS + rows] += residuals.second;
            if thread < BLOCK_VECTORS {
                let weights = square(thread, thread);
                let row = block * BLOCK + thread * 4u;
                inverses[thread] = vec4(
                    inverse_of(weights[0].x, row), inverse_of(weights[1].y, row + 1u),
                    inverse_of(weights[2].z, row + 2u), inverse_of(weights[3].w, row + 3u),
                );
            }
            workgroupBarrier();
            if thread < ITEMS {
                solve_block(thread, is_forward);
            }
            workgroupBarrier();
            store_tile(block, first_vector, thread);
        }
    }
}
