// The second half of least squares: solution = (U^T U)^-1 solution, by forward and back substitution.
// factors [factors, K, K] from `cholesky`: U, and its mirror image below the diagonal. status: how the attempts of the
// factorization ended. Each attempt has its factor if there are several. solution [K, d], which holds the right side at
// first. A dispatch takes the columns from first_column up to end_column.
//
// A workgroup takes 64 columns. Rows are taken in blocks of 32. What the rows solved before leave of a block is a
// product, which the threads share. Within the block, the threads of four rows solve them, and hand them
// on to the others. Because the factor is mirrored, both substitutions are the same, with the rows in opposite order. The
// solution in memory is read and written by the same threads, so that none waits for memory that another thread writes.

import package::shared::block_elimination::{
    BLOCK, BLOCK_VECTORS, ITEM_GROUPS, ITEMS_OF_THREAD, Items, MatrixRows, Places, THREADS, put_items, put_matrix, square,
    subtract, subtract_all,
};

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
@group(0) @binding(2) var<storage, read_write> solution: array<Items>;
@group(0) @binding(3) var<uniform> params: Params;

// Where the factor begins, in vectors.
var<private> base: u32;

// Four columns of the factor from column 4 * vector. Outside, any others: no row or column of the solution depends on them
// that is stored.
fn factor_vector(row: u32, vector: u32) -> vec4<f32> {
    let row_vectors = params.stride / 4u;
    return factors[base + min(row, params.rank - 1u) * row_vectors + min(vector, row_vectors - 1u)];
}

// A row of the solution in the columns of a thread, zero outside.
fn solution_of(row: u32, group: u32) -> Items {
    let row_groups = params.feature_stride / ITEMS_OF_THREAD;
    let value = solution[min(row, params.rank - 1u) * row_groups + min(group, row_groups - 1u)];
    return select(Items(0.0), value, (row < params.rank) & (group < row_groups));
}

fn store(row: u32, group: u32, value: Items) {
    let row_groups = params.feature_stride / ITEMS_OF_THREAD;
    if (row < params.rank) & (group < row_groups) {
        solution[row * row_groups + group] = value;
    }
}

// A thread's four rows of a block of the solution.
fn load_solution(block: u32, first_group: u32, thread: u32) -> Places {
    let row = block * BLOCK + thread % BLOCK_VECTORS * 4u;
    let group = first_group + thread / BLOCK_VECTORS;
    return Places(
        solution_of(row, group), solution_of(row + 1u, group), solution_of(row + 2u, group), solution_of(row + 3u, group),
    );
}

// What a thread contributes to the factor's rows of a block, and its columns of another one.
fn load_factor(rows: u32, columns: u32, thread: u32) -> MatrixRows {
    let row = rows * BLOCK + thread / BLOCK_VECTORS;
    let vector = columns * BLOCK_VECTORS + thread % BLOCK_VECTORS;
    var loaded: MatrixRows;
    loaded.near = factor_vector(row, vector);
    @if(four_items) {
        loaded.far = factor_vector(row + THREADS / BLOCK_VECTORS, vector);
    }
    return loaded;
}

// The place of a row or block in the order of a substitution.
fn in_order(place: u32, count: u32, is_forward: bool) -> u32 {
    return select(count - 1u - place, place, is_forward);
}

// Four rows of the solution, from the first to the last.
fn forward(right: Places, weights: mat4x4<f32>, inverse: vec4<f32>) -> Places {
    let first = right[0] * inverse.x;
    let second = (right[1] - weights[0].y * first) * inverse.y;
    let third = (right[2] - weights[0].z * first - weights[1].z * second) * inverse.z;
    let rest = right[3] - weights[0].w * first - weights[1].w * second - weights[2].w * third;
    return Places(first, second, third, rest * inverse.w);
}

// Four rows of the solution, from the last to the first.
fn backward(right: Places, weights: mat4x4<f32>, inverse: vec4<f32>) -> Places {
    let fourth = right[3] * inverse.w;
    let third = (right[2] - weights[3].z * fourth) * inverse.z;
    let second = (right[1] - weights[3].y * fourth - weights[2].y * third) * inverse.y;
    let rest = right[0] - weights[3].x * fourth - weights[2].x * third - weights[1].x * second;
    return Places(rest * inverse.x, second, third, fourth);
}

// 1/U_kk, and 0 beyond the last row.
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
    let first_group = params.first_column / ITEMS_OF_THREAD + workgroup.x * ITEM_GROUPS;
    let blocks = (params.rank + BLOCK - 1u) / BLOCK;
    // A thread's four rows of a block, and its columns.
    let rows = thread % BLOCK_VECTORS;
    let group = thread / BLOCK_VECTORS;
    for (var half = 0u; half < 2u; half++) {
        // First U^T w = right side, from the first row, then U solution = w, from the last row.
        let is_forward = half == 0u;
        for (var place = 0u; place < blocks; place++) {
            let block = in_order(place, blocks, is_forward);
            let first = in_order(0u, blocks, is_forward);
            var rest = Places();
            var values = load_solution(first, first_group, thread);
            var weights = load_factor(first, block, thread);
            for (var solved = 0u; solved < place; solved++) {
                workgroupBarrier();
                put_items(rows, group, values);
                put_matrix(weights, thread);
                workgroupBarrier();
                // Loads take their time while the tiles are multiplied.
                let next = in_order(solved + 1u, blocks, is_forward);
                values = load_solution(next, first_group, thread);
                weights = load_factor(next, block, thread);
                subtract_all(&rest, rows, group);
            }
            // The block itself.
            rest += values;
            workgroupBarrier();
            put_matrix(weights, thread);
            workgroupBarrier();
            let row = block * BLOCK + 4u * rows;
            let own = square(rows, rows);
            let inverse = vec4(
                inverse_of(own[0].x, row), inverse_of(own[1].y, row + 1u),
                inverse_of(own[2].z, row + 2u), inverse_of(own[3].w, row + 3u),
            );
            for (var turn = 0u; turn < BLOCK_VECTORS; turn++) {
                let four = in_order(turn, BLOCK_VECTORS, is_forward);
                if rows == four {
                    if is_forward {
                        rest = forward(rest, own, inverse);
                    } else {
                        rest = backward(rest, own, inverse);
                    }
                    put_items(four, group, rest);
                }
                workgroupBarrier();
                if in_order(rows, BLOCK_VECTORS, is_forward) > turn {
                    subtract(&rest, rows, group, four);
                }
            }
            let columns = first_group + group;
            store(row, columns, rest[0]);
            store(row + 1u, columns, rest[1]);
            store(row + 2u, columns, rest[2]);
            store(row + 3u, columns, rest[3]);
        }
    }
}
