// Cholesky factorization U^T U = G + r I of a Gram matrix with a ridge r, U upper triangular. Workgroup a is attempt a,
// with 10^a times the ridge. The attempts run side by side, so that none waits for another to fail.
// gram G [K, K] (symmetric), factors [attempts, K, K]: for each attempt U, and below the diagonal its mirror image.
// status [attempts]: 2 if an attempt succeeded, 1 if it failed.
// r = ridge, or ridge * mean_k G_kk if `relative`. A diagonal element that is not positive becomes 1. An attempt fails
// if a pivot is not a positive number.
//
// The factorization is right-looking, in blocks of 16 rows. First comes the block's square on the diagonal, one element
// for each thread. Then come the columns to its right: a substitution in registers, and a product that takes the block
// out of the rows below. The 16 rows of a column are the 16 components of a matrix, so that all indices are constant.
//
// A column belongs to one thread from the first block to the last. Only this thread reads it from the factor or writes
// it there. What the other threads need of it goes through workgroup memory: not all devices show a thread what another
// one wrote to a storage buffer within a dispatch.

const THREADS = 256u;
const BLOCK = 16u;
const BLOCK_VECTORS = BLOCK / 4u;
// Columns of the block's rows that are in workgroup memory at a time.
const CHUNK = 128u;
const GROWTH = 10.0;
const SMALLEST_NORMAL_BITS = 0x00800000u;
const INFINITY_BITS = 0x7f800000u;

struct Params {
    rank: u32,
    stride: u32,
    ridge: f32,
    relative: u32,
}

@group(0) @binding(0) var<storage, read> gram: array<f32>;
@group(0) @binding(1) var<storage, read_write> factors: array<f32>;
@group(0) @binding(2) var<storage, read_write> status: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

// The block's 16 rows of a chunk of columns.
var<workgroup> tile: array<vec4<f32>, CHUNK * BLOCK_VECTORS>;
var<workgroup> square: array<f32, BLOCK * BLOCK>;
// The rows of the square once it is factorized.
var<workgroup> square_rows: array<vec4<f32>, BLOCK * BLOCK_VECTORS>;
var<workgroup> pivots: array<f32, BLOCK>;
var<workgroup> sums: array<f32, THREADS>;

// Where this attempt's factor begins.
var<private> base: u32;

// An element of the matrix to factorize.
fn element(row: u32, column: u32, ridge: f32) -> f32 {
    let value = gram[row * params.stride + column];
    return select(value, select(1.0, value + ridge, value > 0.0), row == column);
}

fn at(row: u32, column: u32) -> f32 {
    return factors[base + row * params.stride + column];
}

fn four_at(row: u32, column: u32) -> vec4<f32> {
    return vec4(at(row, column), at(row + 1u, column), at(row + 2u, column), at(row + 3u, column));
}

fn sixteen_at(row: u32, column: u32) -> mat4x4<f32> {
    return mat4x4(four_at(row, column), four_at(row + 4u, column), four_at(row + 8u, column), four_at(row + 12u, column));
}

fn store(row: u32, column: u32, value: f32) {
    factors[base + row * params.stride + column] = value;
    factors[base + column * params.stride + row] = value;
}

// Four of the block's rows of a column, given what the rows before leave of them. They are stored.
fn solve_four(residual: vec4<f32>, four: u32, first: u32, column: u32) -> vec4<f32> {
    let k = 4u * four;
    let x = residual.x / pivots[k];
    store(first + k, column, x);
    let below = residual - x * square_rows[k * BLOCK_VECTORS + four];
    let y = below.y / pivots[k + 1u];
    store(first + k + 1u, column, y);
    let second = below - y * square_rows[(k + 1u) * BLOCK_VECTORS + four];
    let z = second.z / pivots[k + 2u];
    store(first + k + 2u, column, z);
    let third = second - z * square_rows[(k + 2u) * BLOCK_VECTORS + four];
    let w = third.w / pivots[k + 3u];
    store(first + k + 3u, column, w);
    return vec4(x, y, z, w);
}

// What four of the block's rows leave of another four.
fn rest_of_four(residual: vec4<f32>, x: vec4<f32>, four: u32, other: u32) -> vec4<f32> {
    let at = 4u * four * BLOCK_VECTORS + other;
    return residual - x.x * square_rows[at] - x.y * square_rows[at + BLOCK_VECTORS]
        - x.z * square_rows[at + 2u * BLOCK_VECTORS] - x.w * square_rows[at + 3u * BLOCK_VECTORS];
}

// What the block leaves of an element of a column, whose part in the block is x. `place` is the element's row in the
// chunk.
fn rest_of(value: f32, x: mat4x4<f32>, place: u32) -> f32 {
    let v = place * BLOCK_VECTORS;
    return value - dot(x[0], tile[v]) - dot(x[1], tile[v + 1u]) - dot(x[2], tile[v + 2u]) - dot(x[3], tile[v + 3u]);
}

// Takes the block out of four elements of a column, whose values these were.
fn update_four(values: vec4<f32>, x: mat4x4<f32>, row: u32, place: u32, column: u32) {
    let start = base + row * params.stride + column;
    factors[start] = rest_of(values.x, x, place);
    factors[start + params.stride] = rest_of(values.y, x, place + 1u);
    factors[start + 2u * params.stride] = rest_of(values.z, x, place + 2u);
    factors[start + 3u * params.stride] = rest_of(values.w, x, place + 3u);
}

fn update_eight(x: mat4x4<f32>, row: u32, place: u32, column: u32) {
    let near = four_at(row, column);
    let far = four_at(row + 4u, column);
    update_four(near, x, row, place, column);
    update_four(far, x, row + 4u, place + 4u, column);
}

// Takes the block out of sixteen elements of a column. Loads side by side hide each other's latency: all of them, or
// eight at a time where registers are few.
@if(sixteen_loads)
fn update_sixteen(x: mat4x4<f32>, row: u32, place: u32, column: u32) {
    let values = sixteen_at(row, column);
    update_four(values[0], x, row, place, column);
    update_four(values[1], x, row + 4u, place + 4u, column);
    update_four(values[2], x, row + 8u, place + 8u, column);
    update_four(values[3], x, row + 12u, place + 12u, column);
}
@else
fn update_sixteen(x: mat4x4<f32>, row: u32, place: u32, column: u32) {
    update_eight(x, row, place, column);
    update_eight(x, row + 8u, place + 8u, column);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let attempt = workgroup.x;
    base = attempt * params.rank * params.stride;
    // This thread's element of a square.
    let i = thread / BLOCK;
    let j = thread % BLOCK;

    var sum = 0.0;
    for (var tile_row = 0u; tile_row < params.rank; tile_row += THREADS) {
        let k = tile_row + thread;
        if k < params.rank {
            sum += gram[k * params.stride + k];
        }
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
    for (var a = 0u; a < attempt; a++) {
        ridge *= GROWTH;
    }

    // Direct3D's older compiler wants loops around and before barriers to be the same for all threads.
    for (var tile_column = 0u; tile_column < params.rank; tile_column += THREADS) {
        let column = tile_column + thread;
        for (var row = 0u; row < params.rank; row++) {
            if row <= column && column < params.rank {
                factors[base + row * params.stride + column] = element(row, column, ridge);
            }
        }
    }

    var is_good = true;
    for (var first = 0u; first < params.rank; first += BLOCK) {
        // First the square. The place in the block of a column of this thread, if it has one there.
        let place = (thread + THREADS - first % THREADS) % THREADS;
        if place < BLOCK {
            let column = first + place;
            for (var k = 0u; k < BLOCK; k++) {
                // Beyond its end, the matrix goes on as the identity.
                var value = f32(k == place);
                if k <= place && column < params.rank {
                    value = at(first + k, column);
                }
                square[k * BLOCK + place] = value;
            }
        }
        workgroupBarrier();
        // Its own factorization. Row k of `square` is not yet divided by its root.
        var value = square[thread];
        for (var k = 0u; k < BLOCK; k++) {
            if i == k {
                square[thread] = value;
            }
            workgroupBarrier();
            let pivot = square[k * BLOCK + k];
            let root = sqrt(pivot);
            // Positive, normal and finite.
            is_good = is_good && bitcast<u32>(pivot) - SMALLEST_NORMAL_BITS < INFINITY_BITS - SMALLEST_NORMAL_BITS;
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
        workgroupBarrier();
        if thread < BLOCK * BLOCK_VECTORS {
            let v = thread * 4u;
            square_rows[thread] = vec4(square[v], square[v + 1u], square[v + 2u], square[v + 3u]);
        }
        if place < BLOCK && first + place < params.rank {
            for (var k = 0u; k < BLOCK; k++) {
                if k <= place {
                    store(first + k, first + place, square[k * BLOCK + place]);
                }
            }
        }
        workgroupBarrier();

        // The block's rows of the columns to the right.
        for (var tile_column = 0u; tile_column < params.rank; tile_column += THREADS) {
            let column = tile_column + thread;
            if column >= first + BLOCK && column < params.rank {
                let residual = sixteen_at(first, column);
                let x = solve_four(residual[0], 0u, first, column);
                var y = rest_of_four(residual[1], x, 0u, 1u);
                var z = rest_of_four(residual[2], x, 0u, 2u);
                var w = rest_of_four(residual[3], x, 0u, 3u);
                y = solve_four(y, 1u, first, column);
                z = rest_of_four(z, y, 1u, 2u);
                w = rest_of_four(w, y, 1u, 3u);
                z = solve_four(z, 2u, first, column);
                w = rest_of_four(w, z, 2u, 3u);
                w = solve_four(w, 3u, first, column);
            }
        }
        // What they leave of the rows below.
        for (var chunk = first + BLOCK; chunk < params.rank; chunk += CHUNK) {
            workgroupBarrier();
            let in_chunk = (thread + THREADS - chunk % THREADS) % THREADS;
            if in_chunk < CHUNK && chunk + in_chunk < params.rank {
                for (var v = 0u; v < BLOCK_VECTORS; v++) {
                    tile[in_chunk * BLOCK_VECTORS + v] = four_at(first + 4u * v, chunk + in_chunk);
                }
            }
            workgroupBarrier();
            let rows = min(CHUNK, params.rank - chunk);
            for (var tile_column = 0u; tile_column < params.rank; tile_column += THREADS) {
                let column = tile_column + thread;
                if column >= chunk && column < params.rank {
                    let x = sixteen_at(first, column);
                    // Up to the diagonal: below it is the mirror image.
                    for (var place = 0u; place < rows; place += BLOCK) {
                        let row = chunk + place;
                        if row + BLOCK - 1u <= column {
                            update_sixteen(x, row, place, column);
                        } else {
                            // Few go through here, so its code should stay short: the number of rounds is not a constant.
                            for (var r = 0u; r < min(BLOCK, rows - place); r++) {
                                if row + r <= column {
                                    factors[base + (row + r) * params.stride + column] =
                                        rest_of(at(row + r, column), x, place + r);
                                }
                            }
                        }
                    }
                }
            }
        }
        // The next block reuses the workgroup memory.
        workgroupBarrier();
    }
    if thread == 0u {
        status[attempt] = select(1u, 2u, is_good);
    }
}
