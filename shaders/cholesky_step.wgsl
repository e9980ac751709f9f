// One block of 32 rows of a Cholesky factorization U^T U = G + r I, over many workgroups: what `cholesky` is for large K,
// where it is a dispatch for each block and attempt. Of `factor`, nothing is read that the same dispatch writes. The
// status may be read before or after it is written: what a failed attempt leaves does not matter, and all else means
// that it goes on.
// gram G [K, K] (symmetric), factor [K + 1, K], status [attempts]: 2 if an attempt succeeded, 1 if it failed, 3 while it
// goes on, 0 if it was not needed. An attempt that has failed, or that is not needed, changes nothing.
// r = ridge, or ridge * mean_k G_kk if `relative`. A diagonal element that is not positive becomes 1.
//
// Above the diagonal of `factor` is U, as far as it is known. On and below the diagonal is what the blocks so far leave
// of the matrix. Once a block is done, the next one's dispatch replaces that by the mirror image of U. Until then the
// diagonal of U is in the last row.
//
// Workgroup (J, I), J <= I, takes the block out of a tile of 64 x 64. All of them factorize the block's square, together
// with its 64 columns above the rows of the tile and its 64 columns above the columns of the tile. A thread has four
// rows of each 32 columns in registers, and only the current row is in workgroup memory.

const THREADS = 256u;
const BLOCK = 32u;
const TILE = 64u;
// The square's columns, and those of both sides of the tile.
const WIDTH = BLOCK + 2u * TILE;
// Rows from one element of a thread to the next.
const ROW_STEP = THREADS / BLOCK;
// Rows of the block that are in workgroup memory at a time.
const HALF = BLOCK / 2u;
const SMALLEST_NORMAL_BITS = 0x00800000u;
const INFINITY_BITS = 0x7f800000u;
const FAILED = 1u;
const SUCCEEDED = 2u;
const GOES_ON = 3u;

struct Params {
    rank: u32,
    stride: u32,
    ridge: f32,
    relative: u32,
    first: u32,
    attempt: u32,
    attempts: u32,
}

@group(0) @binding(0) var<storage, read> gram: array<f32>;
@group(0) @binding(1) var<storage, read_write> factor: array<f32>;
@group(0) @binding(2) var<storage, read_write> status: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

// The current row, and the one before.
var<workgroup> rows: array<f32, 2u * WIDTH>;
// Half of the block's rows above the tile's rows, then above its columns.
var<workgroup> sides: array<f32, HALF * 2u * TILE>;
var<workgroup> sums: array<f32, THREADS>;

// What the blocks before this one leave of the matrix, on and below the diagonal. Beyond its end, the matrix goes on as
// the identity.
fn residual(row: u32, column: u32, ridge: f32) -> f32 {
    if row >= params.rank || column >= params.rank {
        return f32(row == column);
    }
    if params.first > 0u {
        return factor[row * params.stride + column];
    }
    let value = gram[row * params.stride + column];
    return select(value, select(1.0, value + ridge, value > 0.0), row == column);
}

// A thread's elements of 32 columns of the block. `row` is the first of them.
fn load(row: u32, column: u32, ridge: f32) -> vec4<f32> {
    return vec4(
        residual(column, row, ridge), residual(column, row + ROW_STEP, ridge),
        residual(column, row + 2u * ROW_STEP, ridge), residual(column, row + 3u * ROW_STEP, ridge),
    );
}

fn put_side(place: u32, row: u32, elements: vec2<f32>) {
    sides[row * (2u * TILE) + place] = elements.x;
    sides[(row + ROW_STEP) * (2u * TILE) + place] = elements.y;
}

fn store_column(row: u32, column: u32, elements: vec4<f32>) {
    if column < params.rank {
        for (var q = 0u; q < 4u; q++) {
            factor[(row + q * ROW_STEP) * params.stride + column] = elements[q];
        }
    }
}

// The mirror image of a column of the block before.
fn mirror(row: u32, column: u32) {
    if params.first > 0u && column < params.rank {
        for (var q = 0u; q < 4u; q++) {
            let above = params.first - BLOCK + row + q * ROW_STEP;
            factor[column * params.stride + above] = factor[above * params.stride + column];
        }
    }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if workgroup.x > workgroup.y {
        return;
    }
    var ridge = params.ridge;
    if params.first == 0u && params.relative != 0u {
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
        ridge *= sums[0] / f32(params.rank);
    }
    // In its first block, an attempt has the status of an earlier factorization.
    var is_needed = params.first == 0u || status[params.attempt] != FAILED;
    for (var attempt = 0u; attempt < params.attempt; attempt++) {
        is_needed = is_needed && status[attempt] != SUCCEEDED;
    }

    let i = thread / BLOCK;
    let j = thread % BLOCK;
    let rest = params.first + BLOCK;
    let tile_row = rest + workgroup.y * TILE;
    let tile_column = rest + workgroup.x * TILE;
    var square = vec4<f32>();
    var left: array<vec4<f32>, 2>;
    var right: array<vec4<f32>, 2>;
    if is_needed {
        // Only what is on and above the diagonal of the square is used.
        for (var q = 0u; q < 4u; q++) {
            let row = i + q * ROW_STEP;
            if row <= j {
                square[q] = residual(params.first + j, params.first + row, ridge);
            }
        }
        left[0] = load(params.first + i, tile_row + j, ridge);
        left[1] = load(params.first + i, tile_row + BLOCK + j, ridge);
        right[0] = load(params.first + i, tile_column + j, ridge);
        right[1] = load(params.first + i, tile_column + BLOCK + j, ridge);
    }

    var is_good = true;
    for (var k = 0u; k < BLOCK; k++) {
        let row = k % 2u * WIDTH;
        let q = k / ROW_STEP;
        if i == k % ROW_STEP {
            rows[row + j] = square[q];
            rows[row + BLOCK + j] = left[0][q];
            rows[row + 2u * BLOCK + j] = left[1][q];
            rows[row + 3u * BLOCK + j] = right[0][q];
            rows[row + 4u * BLOCK + j] = right[1][q];
        }
        workgroupBarrier();
        let pivot = rows[row + k];
        // Positive, normal and finite.
        is_good = is_good && bitcast<u32>(pivot) - SMALLEST_NORMAL_BITS < INFINITY_BITS - SMALLEST_NORMAL_BITS;
        let root = sqrt(pivot);
        let own = vec4(i, i + ROW_STEP, i + 2u * ROW_STEP, i + 3u * ROW_STEP);
        let weights = select(
            vec4<f32>(),
            vec4(rows[row + own.x], rows[row + own.y], rows[row + own.z], rows[row + own.w]) / root,
            own > vec4(k),
        );
        // The current row is divided by its root, and a multiple of it is taken from those below.
        let scale = select(vec4(1.0), vec4(1.0 / root), own == vec4(k));
        square = square * scale - weights * (rows[row + j] / root);
        left[0] = left[0] * scale - weights * (rows[row + BLOCK + j] / root);
        left[1] = left[1] * scale - weights * (rows[row + 2u * BLOCK + j] / root);
        right[0] = right[0] * scale - weights * (rows[row + 3u * BLOCK + j] / root);
        right[1] = right[1] * scale - weights * (rows[row + 4u * BLOCK + j] / root);
    }

    if is_needed && workgroup.y == 0u {
        let is_last = rest >= params.rank;
        let diagonals = params.rank * params.stride;
        // The mirror image of the block before, and this block's square.
        mirror(i, params.first + j);
        for (var q = 0u; q < 4u; q++) {
            let row = i + q * ROW_STEP;
            if params.first > 0u {
                let before = params.first - BLOCK;
                if row < j {
                    factor[(before + j) * params.stride + before + row] =
                        factor[(before + row) * params.stride + before + j];
                } else if row == j {
                    factor[(before + j) * params.stride + before + j] = factor[diagonals + before + j];
                }
            }
            if row <= j && params.first + j < params.rank {
                if row < j {
                    factor[(params.first + row) * params.stride + params.first + j] = square[q];
                }
                // No other workgroup reads the last square.
                if is_last {
                    factor[(params.first + j) * params.stride + params.first + row] = square[q];
                } else if row == j {
                    factor[diagonals + params.first + j] = square[q];
                }
            }
        }
        if thread == 0u {
            if params.first == 0u && params.attempt == 0u {
                for (var attempt = 1u; attempt < params.attempts; attempt++) {
                    status[attempt] = 0u;
                }
            }
            status[params.attempt] = select(FAILED, select(GOES_ON, SUCCEEDED, is_last), is_good);
        }
    }

    // The tile: four of its rows and four of its columns for each thread, 16 apart.
    let y = thread / 16u;
    let x = thread % 16u;
    var products = mat4x4<f32>();
    for (var half = 0u; half < 2u; half++) {
        workgroupBarrier();
        put_side(j, i, select(left[0].xy, left[0].zw, half == 1u));
        put_side(BLOCK + j, i, select(left[1].xy, left[1].zw, half == 1u));
        put_side(TILE + j, i, select(right[0].xy, right[0].zw, half == 1u));
        put_side(TILE + BLOCK + j, i, select(right[1].xy, right[1].zw, half == 1u));
        workgroupBarrier();
        // Below the matrix's end, rows leave nothing. That their number is not a constant keeps compilers from unrolling the
        // loop, which takes many registers.
        for (var row = 0u; row < min(HALF, params.rank - params.first); row++) {
            let at = row * (2u * TILE);
            let a = vec4(sides[at + y], sides[at + y + 16u], sides[at + y + 32u], sides[at + y + 48u]);
            let start = at + TILE + x;
            products += mat4x4(
                a * sides[start], a * sides[start + 16u], a * sides[start + 32u], a * sides[start + 48u],
            );
        }
    }
    if is_needed {
        for (var c = 0u; c < 4u; c++) {
            for (var r = 0u; r < 4u; r++) {
                let row = tile_row + y + 16u * r;
                let column = tile_column + x + 16u * c;
                if row < params.rank && column <= row {
                    factor[row * params.stride + column] = residual(row, column, ridge) - products[c][r];
                }
            }
        }
        if workgroup.x == workgroup.y {
            store_column(params.first + i, tile_row + j, left[0]);
            store_column(params.first + i, tile_row + BLOCK + j, left[1]);
            mirror(i, tile_row + j);
            mirror(i, tile_row + BLOCK + j);
        }
    }
}
