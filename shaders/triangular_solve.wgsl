// The second half of least squares: solution = (U^T U)^-1 solution, by forward and back substitution. One thread for
// each column.
// factor U [K, K] upper triangular from `cholesky`, solution [K, d], which holds the right side at first.
//
// Rows are taken in blocks of 16. What the rows solved before leave of a block is a matrix product. The block itself is
// solved in registers. The 16 rows of a column are the 16 components of a matrix, so that all indices are constant. All
// threads read the same elements of the factor. GPUs with scalar registers load these there, and others broadcast them.

const THREADS = 64u;
const BLOCK = 16u;
const BLOCK_VECTORS = BLOCK / 4u;

struct Params {
    rank: u32,
    stride: u32,
    columns: u32,
    feature_stride: u32,
}

@group(0) @binding(0) var<storage, read> factor: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> solution: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

// The factor's block on the diagonal, or its transpose. Row l has the weights with which row l enters the other rows of
// the block.
var<workgroup> square: array<vec4<f32>, BLOCK * BLOCK_VECTORS>;
var<workgroup> pivots: array<f32, BLOCK>;

fn square_row(row: u32) -> mat4x4<f32> {
    let at = row * BLOCK_VECTORS;
    return mat4x4(square[at], square[at + 1u], square[at + 2u], square[at + 3u]);
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

// Threads beyond the last column compute the same as the last column does, and store nothing.
fn address(row: u32, column: u32) -> u32 {
    return row * params.feature_stride + min(column, params.columns - 1u);
}

fn solution_at(row: u32, column: u32) -> f32 {
    return select(0.0, solution[address(min(row, params.rank - 1u), column)], row < params.rank);
}

fn store(row: u32, column: u32, value: f32) {
    if row < params.rank && column < params.columns {
        solution[row * params.feature_stride + column] = value;
    }
}

// The weight of row l in row first + a is U[first + l, first + a]. One vector for each thread.
fn stage_square(first: u32, thread: u32) {
    square[thread] = factor_vector(first + thread / BLOCK_VECTORS, first / 4u + thread % BLOCK_VECTORS);
}

// The weight of row l in row first + a is U[first + a, first + l]. Four vectors for each thread.
fn stage_transposed_square(first: u32, thread: u32) {
    let four = thread / BLOCK_VECTORS;
    let vector = thread % BLOCK_VECTORS;
    if four < BLOCK_VECTORS {
        let row = first + vector * 4u;
        let columns = transpose(mat4x4(
            factor_vector(row, first / 4u + four),
            factor_vector(row + 1u, first / 4u + four),
            factor_vector(row + 2u, first / 4u + four),
            factor_vector(row + 3u, first / 4u + four),
        ));
        let at = four * 4u * BLOCK_VECTORS + vector;
        square[at] = columns[0];
        square[at + BLOCK_VECTORS] = columns[1];
        square[at + 2u * BLOCK_VECTORS] = columns[2];
        square[at + 3u * BLOCK_VECTORS] = columns[3];
    }
}

// The diagonal of the block. Beyond the end of the factor, it goes on with ones.
fn stage_pivots(first: u32, thread: u32) {
    if thread < BLOCK {
        let row = first + thread;
        let four = factor_vector(row, row / 4u);
        pivots[thread] = select(1.0, four[thread % 4u], row < params.rank);
    }
}

// The 16 weights U[row, first + a] with which a row above the block enters it. Those of the last block may reach into
// the factor's next row, which exists. They belong to no row of the solution.
fn weights_of(row: u32, first: u32) -> mat4x4<f32> {
    let at = (row * params.stride + first) / 4u;
    return mat4x4(factor[at], factor[at + 1u], factor[at + 2u], factor[at + 3u]);
}

// The weights of four rows in four rows of the block: U[first + a, row + l]. The result has a column for each l.
fn transposed_weights_of(row: u32, first: u32) -> mat4x4<f32> {
    let at = (first * params.stride + row) / 4u;
    let row_vectors = params.stride / 4u;
    return transpose(mat4x4(
        factor[at], factor[at + row_vectors], factor[at + 2u * row_vectors], factor[at + 3u * row_vectors],
    ));
}

// What four rows leave of four rows of the block.
fn rest_of(residual: vec4<f32>, weights: mat4x4<f32>, x: vec4<f32>) -> vec4<f32> {
    // One after the other, so that each becomes a multiply-add.
    return residual - x.x * weights[0] - x.y * weights[1] - x.z * weights[2] - x.w * weights[3];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let column = workgroup.x * THREADS + thread;
    let blocks = (params.rank + BLOCK - 1u) / BLOCK;
    var x: f32;

    // U^T w = right side, from the first row.
    for (var block = 0u; block < blocks; block++) {
        let first = block * BLOCK;
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
        stage_square(first, thread);
        // Four rows at a time, because loads side by side hide each other's latency.
        for (var row = 0u; row < first; row += 4u) {
            let x0 = solution_at(row, column);
            let x1 = solution_at(row + 1u, column);
            let x2 = solution_at(row + 2u, column);
            let x3 = solution_at(row + 3u, column);
            residual -= x0 * weights_of(row, first);
            residual -= x1 * weights_of(row + 1u, first);
            residual -= x2 * weights_of(row + 2u, first);
            residual -= x3 * weights_of(row + 3u, first);
        }
        workgroupBarrier();
        x = residual[0].x / pivots[0];
        store(first + 0u, column, x);
        residual -= x * square_row(0u);
        x = residual[0].y / pivots[1];
        store(first + 1u, column, x);
        residual -= x * square_row(1u);
        x = residual[0].z / pivots[2];
        store(first + 2u, column, x);
        residual -= x * square_row(2u);
        x = residual[0].w / pivots[3];
        store(first + 3u, column, x);
        residual -= x * square_row(3u);
        x = residual[1].x / pivots[4];
        store(first + 4u, column, x);
        residual -= x * square_row(4u);
        x = residual[1].y / pivots[5];
        store(first + 5u, column, x);
        residual -= x * square_row(5u);
        x = residual[1].z / pivots[6];
        store(first + 6u, column, x);
        residual -= x * square_row(6u);
        x = residual[1].w / pivots[7];
        store(first + 7u, column, x);
        residual -= x * square_row(7u);
        x = residual[2].x / pivots[8];
        store(first + 8u, column, x);
        residual -= x * square_row(8u);
        x = residual[2].y / pivots[9];
        store(first + 9u, column, x);
        residual -= x * square_row(9u);
        x = residual[2].z / pivots[10];
        store(first + 10u, column, x);
        residual -= x * square_row(10u);
        x = residual[2].w / pivots[11];
        store(first + 11u, column, x);
        residual -= x * square_row(11u);
        x = residual[3].x / pivots[12];
        store(first + 12u, column, x);
        residual -= x * square_row(12u);
        x = residual[3].y / pivots[13];
        store(first + 13u, column, x);
        residual -= x * square_row(13u);
        x = residual[3].z / pivots[14];
        store(first + 14u, column, x);
        residual -= x * square_row(14u);
        x = residual[3].w / pivots[15];
        store(first + 15u, column, x);
        residual -= x * square_row(15u);
        workgroupBarrier();
    }

    // U solution = w, from the last row on. A thread reads only what it has written itself.
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
        stage_transposed_square(first, thread);
        for (var row = first + BLOCK; row < params.rank; row += 4u) {
            // Beyond the last row, the factor counts as zero.
            let four = vec4(
                solution_at(row, column), solution_at(row + 1u, column),
                solution_at(row + 2u, column), solution_at(row + 3u, column),
            );
            residual[0] = rest_of(residual[0], transposed_weights_of(row, first), four);
            residual[1] = rest_of(residual[1], transposed_weights_of(row, first + 4u), four);
            residual[2] = rest_of(residual[2], transposed_weights_of(row, first + 8u), four);
            residual[3] = rest_of(residual[3], transposed_weights_of(row, first + 12u), four);
        }
        workgroupBarrier();
        x = residual[3].w / pivots[15];
        store(first + 15u, column, x);
        residual -= x * square_row(15u);
        x = residual[3].z / pivots[14];
        store(first + 14u, column, x);
        residual -= x * square_row(14u);
        x = residual[3].y / pivots[13];
        store(first + 13u, column, x);
        residual -= x * square_row(13u);
        x = residual[3].x / pivots[12];
        store(first + 12u, column, x);
        residual -= x * square_row(12u);
        x = residual[2].w / pivots[11];
        store(first + 11u, column, x);
        residual -= x * square_row(11u);
        x = residual[2].z / pivots[10];
        store(first + 10u, column, x);
        residual -= x * square_row(10u);
        x = residual[2].y / pivots[9];
        store(first + 9u, column, x);
        residual -= x * square_row(9u);
        x = residual[2].x / pivots[8];
        store(first + 8u, column, x);
        residual -= x * square_row(8u);
        x = residual[1].w / pivots[7];
        store(first + 7u, column, x);
        residual -= x * square_row(7u);
        x = residual[1].z / pivots[6];
        store(first + 6u, column, x);
        residual -= x * square_row(6u);
        x = residual[1].y / pivots[5];
        store(first + 5u, column, x);
        residual -= x * square_row(5u);
        x = residual[1].x / pivots[4];
        store(first + 4u, column, x);
        residual -= x * square_row(4u);
        x = residual[0].w / pivots[3];
        store(first + 3u, column, x);
        residual -= x * square_row(3u);
        x = residual[0].z / pivots[2];
        store(first + 2u, column, x);
        residual -= x * square_row(2u);
        x = residual[0].y / pivots[1];
        store(first + 1u, column, x);
        residual -= x * square_row(1u);
        x = residual[0].x / pivots[0];
        store(first + 0u, column, x);
        residual -= x * square_row(0u);
        workgroupBarrier();
    }
}
