// Cholesky factorization U^T U = G + r I of a Gram matrix with a ridge r, U upper triangular, in one workgroup.
// gram G [K, K] (symmetric), factor [K, K]: U, and below the diagonal its mirror image, status: the number of attempts,
// 1 if the first one succeeded.
// r = ridge, or ridge * mean_k G_kk if `relative`. A diagonal element that is not positive becomes 1. If a pivot is not
// a positive number, the work starts again with 10 r.
//
// The factorization is left-looking, in blocks of 16 rows. First comes the block's square on the diagonal, one element
// for each thread. Then come the columns to its right, one column for each thread: a matrix product with the rows
// above, staged in chunks, and a substitution in registers. The 16 rows of a column are the 16 components of a matrix,
// so that all indices are constant.

const THREADS = 256u;
const BLOCK = 16u;
const BLOCK_VECTORS = BLOCK / 4u;
// A multiple of 4.
const CHUNK = 128u;
// The rows of `tile`: first those of a chunk, then those of the square.
const BLOCK_ROWS = CHUNK;
const SMALLEST_NORMAL_BITS = 0x00800000u;
const INFINITY_BITS = 0x7f800000u;

struct Params {
    rank: u32,
    stride: u32,
    ridge: f32,
    relative: u32,
    attempts: u32,
}

@group(0) @binding(0) var<storage, read> gram: array<f32>;
@group(0) @binding(1) var<storage, read_write> factor: array<f32>;
@group(0) @binding(2) var<storage, read_write> status: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> tile: array<vec4<f32>, (CHUNK + BLOCK) * BLOCK_VECTORS>;
var<workgroup> square: array<f32, BLOCK * BLOCK>;
var<workgroup> pivots: array<f32, BLOCK>;
var<workgroup> sums: array<f32, THREADS>;
var<workgroup> has_failed: u32;

// The block's 16 columns of a staged row.
fn row_of(row: u32) -> mat4x4<f32> {
    let at = row * BLOCK_VECTORS;
    return mat4x4(tile[at], tile[at + 1u], tile[at + 2u], tile[at + 3u]);
}

fn staged(row: u32, column: u32) -> f32 {
    return tile[row * BLOCK_VECTORS + column / 4u][column % 4u];
}

// An element of the matrix to factorize. Beyond its end, the matrix goes on as the identity.
fn element(row: u32, column: u32, ridge: f32) -> f32 {
    let is_inside = row < params.rank && column < params.rank;
    var value = 0.0;
    if is_inside {
        value = gram[row * params.stride + column];
    }
    if row == column {
        value = select(1.0, value + ridge, is_inside && value > 0.0);
    }
    return value;
}

// An element of the factor above the block. A column beyond the last one gives an element of the last, which is never
// stored: an unconditional load avoids a branch.
fn above(row: u32, column: u32) -> f32 {
    return factor[row * params.stride + min(column, params.rank - 1u)];
}

// The same for four rows.
fn four_above(row: u32, column: u32) -> vec4<f32> {
    return vec4(above(row, column), above(row + 1u, column), above(row + 2u, column), above(row + 3u, column));
}

// What four staged rows leave of a column.
fn rest_of(residual: mat4x4<f32>, x: vec4<f32>, row: u32) -> mat4x4<f32> {
    // One after the other, so that each becomes a multiply-add.
    return residual - x.x * row_of(row) - x.y * row_of(row + 1u) - x.z * row_of(row + 2u) - x.w * row_of(row + 3u);
}

fn store(row: u32, column: u32, value: f32) {
    if row < params.rank && column < params.rank {
        factor[row * params.stride + column] = value;
        factor[column * params.stride + row] = value;
    }
}

// Stages the block's columns of `count` rows of the factor.
fn stage(first_row: u32, count: u32, first: u32, thread: u32) {
    for (var v = thread; v < count * BLOCK_VECTORS; v += THREADS) {
        let row = first_row + v / BLOCK_VECTORS;
        let column = first + v % BLOCK_VECTORS * 4u;
        let four = vec4(above(row, column), above(row, column + 1u), above(row, column + 2u), above(row, column + 3u));
        // Columns beyond the last are zero. Otherwise they would enter the pivots of the padding.
        tile[v] = select(vec4<f32>(), four, vec4(column) + vec4(0u, 1u, 2u, 3u) < vec4(params.rank));
    }
}

fn element_column(first: u32, column: u32) -> mat4x4<f32> {
    // All of these are off the diagonal, where there is no ridge.
    return mat4x4(
        element(first, column, 0.0), element(first + 1u, column, 0.0),
        element(first + 2u, column, 0.0), element(first + 3u, column, 0.0),
        element(first + 4u, column, 0.0), element(first + 5u, column, 0.0),
        element(first + 6u, column, 0.0), element(first + 7u, column, 0.0),
        element(first + 8u, column, 0.0), element(first + 9u, column, 0.0),
        element(first + 10u, column, 0.0), element(first + 11u, column, 0.0),
        element(first + 12u, column, 0.0), element(first + 13u, column, 0.0),
        element(first + 14u, column, 0.0), element(first + 15u, column, 0.0),
    );
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
    // This thread's element of a square.
    let i = thread / BLOCK;
    let j = thread % BLOCK;

    var sum = 0.0;
    for (var k = thread; k < params.rank; k += THREADS) {
        sum += gram[k * params.stride + k];
    }
    sums[thread] = sum;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            sums[thread] += sums[thread + half];
        }
    }
    workgroupBarrier();
    var ridge = params.ridge;
    if params.relative != 0u {
        ridge *= sums[0] / f32(params.rank);
    }

    var attempt = 0u;
    var failed = 1u;
    while attempt < params.attempts && failed != 0u {
        attempt += 1u;
        failed = 0u;
        for (var first = 0u; first < params.rank && failed == 0u; first += BLOCK) {
            // First the square: what the rows above leave of it, ...
            var value = element(first + i, first + j, ridge);
            for (var chunk = 0u; chunk < first; chunk += CHUNK) {
                let count = min(CHUNK, first - chunk);
                stage(chunk, count, first, thread);
                workgroupBarrier();
                // Four rows at a time: the count is a multiple of 16.
                for (var row = 0u; row < count; row += 4u) {
                    value -= staged(row, i) * staged(row, j);
                    value -= staged(row + 1u, i) * staged(row + 1u, j);
                    value -= staged(row + 2u, i) * staged(row + 2u, j);
                    value -= staged(row + 3u, i) * staged(row + 3u, j);
                }
                workgroupBarrier();
            }
            // ... then its own factorization, which is right-looking. Row k of `square` is not yet divided by its root.
            var is_good = true;
            for (var k = 0u; k < BLOCK; k++) {
                if i == k {
                    square[thread] = value;
                }
                workgroupBarrier();
                let pivot = square[k * BLOCK + k];
                let root = sqrt(pivot);
                // Positive, normal and finite.
                is_good = is_good
                    && bitcast<u32>(pivot) - SMALLEST_NORMAL_BITS < INFINITY_BITS - SMALLEST_NORMAL_BITS;
                if i == k {
                    value = select(value / root, root, j == k);
                    if j == k {
                        pivots[k] = root;
                    }
                } else if i > k {
                    value -= (square[k * BLOCK + i] / root) * (square[k * BLOCK + j] / root);
                }
            }
            workgroupBarrier();
            square[thread] = select(0.0, value, j >= i);
            if thread == 0u {
                has_failed = u32(!is_good);
            }
            workgroupBarrier();
            failed = workgroupUniformLoad(&has_failed);

            if failed == 0u {
                if j >= i {
                    store(first + i, first + j, square[thread]);
                }
                if thread < BLOCK * BLOCK_VECTORS {
                    let at = thread * 4u;
                    tile[BLOCK_ROWS * BLOCK_VECTORS + thread] =
                        vec4(square[at], square[at + 1u], square[at + 2u], square[at + 3u]);
                }
                workgroupBarrier();
            }

            for (var tile_column = first + BLOCK; tile_column < params.rank && failed == 0u; tile_column += THREADS) {
                let column = tile_column + thread;
                var residual = element_column(first, column);
                for (var chunk = 0u; chunk < first; chunk += CHUNK) {
                    let count = min(CHUNK, first - chunk);
                    stage(chunk, count, first, thread);
                    workgroupBarrier();
                    // Sixteen loads side by side hide each other's latency. The count is a multiple of 16.
                    for (var row = 0u; row < count; row += 16u) {
                        let x0 = four_above(chunk + row, column);
                        let x1 = four_above(chunk + row + 4u, column);
                        let x2 = four_above(chunk + row + 8u, column);
                        let x3 = four_above(chunk + row + 12u, column);
                        residual = rest_of(residual, x0, row);
                        residual = rest_of(residual, x1, row + 4u);
                        residual = rest_of(residual, x2, row + 8u);
                        residual = rest_of(residual, x3, row + 12u);
                    }
                    workgroupBarrier();
                }
                var x: f32;
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
            }
            // The next block reads these rows, and reuses the workgroup memory.
            storageBarrier();
            workgroupBarrier();
        }
        ridge *= 10.0;
    }
    if thread == 0u {
        status[0] = attempt;
        status[1] = u32(failed == 0u);
    }
}
