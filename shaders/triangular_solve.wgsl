// Least squares, second half: solution = (U^T U)^-1 right_side by forward and back substitution, a thread a column.
// factor U [K, K] upper triangular from `cholesky`, right_side and solution [K, d].
// Rows go in blocks of 16: what the rows already solved leave of a block is a matrix product, with the factor in chunks
// staged in workgroup memory; the block itself is solved in registers. A column's 16 rows are the 16 components of a
// matrix, so that all indices are constant.

const THREADS = 64u;
const BLOCK = 16u;
const BLOCK_VECTORS = BLOCK / 4u;
// Four rows and columns a thread when a chunk is transposed.
const CHUNK = THREADS / BLOCK_VECTORS * 4u;
// The rows of tile: those of a chunk, then those of the block.
const BLOCK_ROWS = CHUNK;

struct Params {
    rank: u32,
    stride: u32,
    columns: u32,
    feature_stride: u32,
}

@group(0) @binding(0) var<storage, read> factor: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> right_side: array<f32>;
@group(0) @binding(2) var<storage, read_write> solution: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> tile: array<vec4<f32>, (CHUNK + BLOCK) * BLOCK_VECTORS>;
var<workgroup> pivots: array<f32, BLOCK>;

// The 16 weights with which a staged row enters the block.
fn row_of(row: u32) -> mat4x4<f32> {
    let at = row * BLOCK_VECTORS;
    return mat4x4(tile[at], tile[at + 1u], tile[at + 2u], tile[at + 3u]);
}

// Four columns of the factor from column 4 * vector, zero outside.
fn factor_vector(row: u32, vector: u32) -> vec4<f32> {
    let row_vectors = params.stride / 4u;
    var value = vec4<f32>();
    if row < params.rank && vector < row_vectors {
        value = factor[row * row_vectors + vector];
    }
    return value;
}

fn right_side_at(row: u32, column: u32) -> f32 {
    var value = 0.0;
    if row < params.rank && column < params.columns {
        value = right_side[row * params.feature_stride + column];
    }
    return value;
}

fn solution_at(row: u32, column: u32) -> f32 {
    var value = 0.0;
    if row < params.rank && column < params.columns {
        value = solution[row * params.feature_stride + column];
    }
    return value;
}

fn store(row: u32, column: u32, value: f32) {
    if row < params.rank && column < params.columns {
        solution[row * params.feature_stride + column] = value;
    }
}

// Stages rows of the factor at row `to` of the tile: weight of row l in row first + a = U[l, first + a].
fn stage_rows(first_row: u32, count: u32, first: u32, to: u32, thread: u32) {
    for (var v = thread; v < count * BLOCK_VECTORS; v += THREADS) {
        tile[to * BLOCK_VECTORS + v] = factor_vector(first_row + v / BLOCK_VECTORS, first / 4u + v % BLOCK_VECTORS);
    }
}

// Stages columns of the factor at row `to` of the tile: weight of row l in row first + a = U[first + a, l].
// The count is at most CHUNK; up to three more columns are staged, never more than a chunk.
fn stage_columns(first_column: u32, count: u32, first: u32, to: u32, thread: u32) {
    let four = thread / BLOCK_VECTORS;
    let vector = thread % BLOCK_VECTORS;
    if four * 4u < count {
        let row = first + vector * 4u;
        let column_vector = first_column / 4u + four;
        let columns = transpose(mat4x4(
            factor_vector(row, column_vector),
            factor_vector(row + 1u, column_vector),
            factor_vector(row + 2u, column_vector),
            factor_vector(row + 3u, column_vector),
        ));
        let at = (to + four * 4u) * BLOCK_VECTORS + vector;
        tile[at] = columns[0];
        tile[at + BLOCK_VECTORS] = columns[1];
        tile[at + 2u * BLOCK_VECTORS] = columns[2];
        tile[at + 3u * BLOCK_VECTORS] = columns[3];
    }
}

// The diagonal of the block, continued by ones.
fn stage_pivots(first: u32, thread: u32) {
    if thread < BLOCK {
        let row = first + thread;
        let four = factor_vector(row, row / 4u);
        pivots[thread] = select(1.0, four[thread % 4u], row < params.rank);
    }
}

// What the staged rows, already solved, leave of the block.
fn subtract(residual: mat4x4<f32>, first_row: u32, count: u32, column: u32) -> mat4x4<f32> {
    var rest = residual;
    // Four loads at a time hide their latency; beyond the last row they give zero.
    for (var row = 0u; row < count; row += 4u) {
        let x0 = solution_at(first_row + row, column);
        let x1 = solution_at(first_row + row + 1u, column);
        let x2 = solution_at(first_row + row + 2u, column);
        let x3 = solution_at(first_row + row + 3u, column);
        rest -= x0 * row_of(row);
        rest -= x1 * row_of(row + 1u);
        rest -= x2 * row_of(row + 2u);
        rest -= x3 * row_of(row + 3u);
    }
    return rest;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let column = workgroup.x * THREADS + thread;
    let blocks = (params.rank + BLOCK - 1u) / BLOCK;
    var x: f32;

    // U^T w = right_side, from the first row.
    for (var block = 0u; block < blocks; block++) {
        let first = block * BLOCK;
        var residual = mat4x4(
            right_side_at(first, column), right_side_at(first + 1u, column),
            right_side_at(first + 2u, column), right_side_at(first + 3u, column),
            right_side_at(first + 4u, column), right_side_at(first + 5u, column),
            right_side_at(first + 6u, column), right_side_at(first + 7u, column),
            right_side_at(first + 8u, column), right_side_at(first + 9u, column),
            right_side_at(first + 10u, column), right_side_at(first + 11u, column),
            right_side_at(first + 12u, column), right_side_at(first + 13u, column),
            right_side_at(first + 14u, column), right_side_at(first + 15u, column),
        );
        stage_pivots(first, thread);
        stage_rows(first, BLOCK, first, BLOCK_ROWS, thread);
        for (var chunk = 0u; chunk < first; chunk += CHUNK) {
            let count = min(CHUNK, first - chunk);
            stage_rows(chunk, count, first, 0u, thread);
            workgroupBarrier();
            residual = subtract(residual, chunk, count, column);
            workgroupBarrier();
        }
        workgroupBarrier();
        x = residual[0].x / pivots[0];
        store(first + 0u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 0u);
        x = residual[0].y / pivots[1];
        store(first + 1u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 1u);
        x = residual[0].z / pivots[2];
        store(first + 2u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 2u);
        x = residual[0].w / pivots[3];
        store(first + 3u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 3u);
        x = residual[1].x / pivots[4];
        store(first + 4u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 4u);
        x = residual[1].y / pivots[5];
        store(first + 5u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 5u);
        x = residual[1].z / pivots[6];
        store(first + 6u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 6u);
        x = residual[1].w / pivots[7];
        store(first + 7u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 7u);
        x = residual[2].x / pivots[8];
        store(first + 8u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 8u);
        x = residual[2].y / pivots[9];
        store(first + 9u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 9u);
        x = residual[2].z / pivots[10];
        store(first + 10u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 10u);
        x = residual[2].w / pivots[11];
        store(first + 11u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 11u);
        x = residual[3].x / pivots[12];
        store(first + 12u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 12u);
        x = residual[3].y / pivots[13];
        store(first + 13u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 13u);
        x = residual[3].z / pivots[14];
        store(first + 14u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 14u);
        x = residual[3].w / pivots[15];
        store(first + 15u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 15u);
        workgroupBarrier();
    }

    // U solution = w, from the last row. A thread reads only what it wrote itself.
    for (var block = blocks; block > 0u; block--) {
        let first = (block - 1u) * BLOCK;
        var residual = mat4x4(
            solution_at(first, column), solution_at(first + 1u, column),
            solution_at(first + 2u, column), solution_at(first + 3u, column),
            solution_at(first + 4u, column), solution_at(first + 5u, column),
            solution_at(first + 6u, column), solution_at(first + 7u, column),
            solution_at(first + 8u, column), solution_at(first + 9u, column),
            solution_at(first + 10u, column), solution_at(first + 11u, column),
            solution_at(first + 12u, column), solution_at(first + 13u, column),
            solution_at(first + 14u, column), solution_at(first + 15u, column),
        );
        stage_pivots(first, thread);
        stage_columns(first, BLOCK, first, BLOCK_ROWS, thread);
        for (var chunk = first + BLOCK; chunk < params.rank; chunk += CHUNK) {
            let count = min(CHUNK, params.rank - chunk);
            stage_columns(chunk, count, first, 0u, thread);
            workgroupBarrier();
            residual = subtract(residual, chunk, count, column);
            workgroupBarrier();
        }
        workgroupBarrier();
        x = residual[3].w / pivots[15];
        store(first + 15u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 15u);
        x = residual[3].z / pivots[14];
        store(first + 14u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 14u);
        x = residual[3].y / pivots[13];
        store(first + 13u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 13u);
        x = residual[3].x / pivots[12];
        store(first + 12u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 12u);
        x = residual[2].w / pivots[11];
        store(first + 11u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 11u);
        x = residual[2].z / pivots[10];
        store(first + 10u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 10u);
        x = residual[2].y / pivots[9];
        store(first + 9u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 9u);
        x = residual[2].x / pivots[8];
        store(first + 8u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 8u);
        x = residual[1].w / pivots[7];
        store(first + 7u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 7u);
        x = residual[1].z / pivots[6];
        store(first + 6u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 6u);
        x = residual[1].y / pivots[5];
        store(first + 5u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 5u);
        x = residual[1].x / pivots[4];
        store(first + 4u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 4u);
        x = residual[0].w / pivots[3];
        store(first + 3u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 3u);
        x = residual[0].z / pivots[2];
        store(first + 2u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 2u);
        x = residual[0].y / pivots[1];
        store(first + 1u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 1u);
        x = residual[0].x / pivots[0];
        store(first + 0u, column, x);
        residual -= x * row_of(BLOCK_ROWS + 0u);
        workgroupBarrier();
    }
}
