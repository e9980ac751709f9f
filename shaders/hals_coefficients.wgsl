// Coordinate descent (HALS; Cichocki and Phan 2009) on the coefficients, with a penalty on each token's sum. It goes
// over the features k in ascending order, `sweeps` times, and always uses the newest y:
//   y_ik = max(0, y_ik + (P_ik - penalty |x_i| - sum_l y_il Q_lk) / Q_kk), and 0 if Q_kk = 0.
// projections P [rows, K], feature_gram Q [K, K] (symmetric), squared_norms |x_i|^2 [rows], coefficients Y [rows, K].
//
// A workgroup takes 64 tokens, one for each thread. Features are taken in blocks of 16. The residual of a block is a
// matrix product over all features, and the steps within the block follow one another in registers. The 16 values of a
// token in a block are the 16 components of a matrix, so that all indices are constant. All threads read the same rows
// of Q. GPUs with scalar registers load these there, and others broadcast them. The tokens' coefficients are staged in
// workgroup memory.

const THREADS = 64u;
const TOKENS = 64u;
const BLOCK = 16u;
const BLOCK_VECTORS = BLOCK / 4u;
// Small enough that workgroup memory leaves room for many workgroups.
const DEPTH = 16u;
const DEPTH_VECTORS = DEPTH / 4u;
// Tokens that are loaded at a time, with one vector for each thread.
const TOKEN_STEP = THREADS / DEPTH_VECTORS;
// One word of padding for each token spreads the threads over the memory banks.
const TOKEN_WORDS = DEPTH + 1u;
const EXPONENT_BITS = 0x7f800000u;

struct Params {
    rows: u32,
    rank: u32,
    stride: u32,
    gram_stride: u32,
    sweeps: u32,
    penalty: f32,
}

@group(0) @binding(0) var<storage, read> projections: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> feature_gram: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> squared_norms: array<f32>;
@group(0) @binding(3) var<storage, read_write> coefficients: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> token_tile: array<f32, TOKENS * TOKEN_WORDS>;
// The block's own square of Q.
var<workgroup> square: array<vec4<f32>, BLOCK * BLOCK_VECTORS>;
var<workgroup> inverses: array<f32, BLOCK>;

// A row of the block's square.
fn square_row(row: u32) -> mat4x4<f32> {
    let at = row * BLOCK_VECTORS;
    return mat4x4(square[at], square[at + 1u], square[at + 2u], square[at + 3u]);
}

// The block's 16 columns of a row of Q. Columns beyond the end of the row may be any finite numbers that Q holds, and
// belong to no feature. The caller knows that Q does not end before them.
fn gram_row(row: u32, first_vector: u32) -> mat4x4<f32> {
    let at = row * (params.gram_stride / 4u) + first_vector;
    return mat4x4(feature_gram[at], feature_gram[at + 1u], feature_gram[at + 2u], feature_gram[at + 3u]);
}

// The same for a row near the end of Q.
fn last_gram_row(row: u32, first_vector: u32) -> mat4x4<f32> {
    return mat4x4(
        gram_vector(row, first_vector), gram_vector(row, first_vector + 1u),
        gram_vector(row, first_vector + 2u), gram_vector(row, first_vector + 3u),
    );
}

// Four columns of Q from column 4 * vector, zero outside.
fn gram_vector(row: u32, vector: u32) -> vec4<f32> {
    let row_vectors = params.gram_stride / 4u;
    var value = vec4<f32>();
    if row < params.rank && vector < row_vectors {
        value = feature_gram[row * row_vectors + vector];
    }
    return value;
}

// Four coefficients of a token, zero outside.
fn token_vector(token: u32, vector: u32) -> vec4<f32> {
    let row_vectors = params.stride / 4u;
    var value = vec4<f32>();
    if token < params.rows && vector < row_vectors {
        value = coefficients[token * row_vectors + vector];
    }
    return value;
}

// Four projections of a token, zero outside.
fn projection_vector(token: u32, vector: u32) -> vec4<f32> {
    let row_vectors = params.stride / 4u;
    var value = vec4<f32>();
    if token < params.rows && vector < row_vectors {
        value = projections[token * row_vectors + vector];
    }
    return value;
}

fn stage(row: u32, vector: u32, four: vec4<f32>) {
    let at = row * TOKEN_WORDS + 4u * vector;
    token_tile[at] = four.x;
    token_tile[at + 1u] = four.y;
    token_tile[at + 2u] = four.z;
    token_tile[at + 3u] = four.w;
}

// 1/q, or 0 for a feature that takes no coefficient, so that it counts as dead and can be revived. Coefficients are of
// the order 1/sqrt(q), and their squares must not overflow. NaN fails the comparison.
const LEAST_ENERGY: f32 = 1e-24;
fn inverse_of(q: f32) -> f32 {
    let takes_coefficients = q > LEAST_ENERGY && bitcast<u32>(q) < EXPONENT_BITS;
    return select(0.0, 1.0 / q, takes_coefficients);
}

// The step of a coefficient y >= 0, which must not take it below zero. NaN takes it to zero.
fn descend(residual: f32, y: f32, inverse: f32) -> f32 {
    let step = residual * inverse;
    return select(-y, step, inverse > 0.0 && step > -y);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let first_token = workgroup.x * TOKENS;
    let token = first_token + thread;
    var penalty = 0.0;
    if token < params.rows {
        penalty = params.penalty * sqrt(squared_norms[token]);
    }
    let penalties = mat4x4(vec4(penalty), vec4(penalty), vec4(penalty), vec4(penalty));
    for (var sweep = 0u; sweep < params.sweeps; sweep++) {
        for (var first = 0u; first < params.rank; first += BLOCK) {
            let first_vector = first / 4u;
            var residual = mat4x4(
                projection_vector(token, first_vector),
                projection_vector(token, first_vector + 1u),
                projection_vector(token, first_vector + 2u),
                projection_vector(token, first_vector + 3u),
            ) - penalties;
            var y = mat4x4(
                token_vector(token, first_vector),
                token_vector(token, first_vector + 1u),
                token_vector(token, first_vector + 2u),
                token_vector(token, first_vector + 3u),
            );
            // One vector for each thread.
            square[thread] = gram_vector(first + thread / BLOCK_VECTORS, first_vector + thread % BLOCK_VECTORS);
            // In this many rows, 16 columns from the block's first one on do not reach beyond the end of Q.
            let row_vectors = params.gram_stride / 4u;
            let end = params.rank * row_vectors;
            let whole_rows = (max(end, first_vector + BLOCK_VECTORS) - first_vector - BLOCK_VECTORS) / row_vectors;

            for (var depth = 0u; depth < params.rank; depth += DEPTH) {
                // Consecutive threads load consecutive vectors, 16 tokens at a time.
                let vector = thread % DEPTH_VECTORS;
                let row = thread / DEPTH_VECTORS;
                let four0 = token_vector(first_token + row, depth / 4u + vector);
                let four1 = token_vector(first_token + row + TOKEN_STEP, depth / 4u + vector);
                let four2 = token_vector(first_token + row + 2u * TOKEN_STEP, depth / 4u + vector);
                let four3 = token_vector(first_token + row + 3u * TOKEN_STEP, depth / 4u + vector);
                stage(row, vector, four0);
                stage(row + TOKEN_STEP, vector, four1);
                stage(row + 2u * TOKEN_STEP, vector, four2);
                stage(row + 3u * TOKEN_STEP, vector, four3);
                workgroupBarrier();
                let count = min(DEPTH, params.rank - depth);
                let at = thread * TOKEN_WORDS;
                var l = 0u;
                for (; l + 4u <= count && depth + l + 4u <= whole_rows; l += 4u) {
                    residual -= token_tile[at + l] * gram_row(depth + l, first_vector);
                    residual -= token_tile[at + l + 1u] * gram_row(depth + l + 1u, first_vector);
                    residual -= token_tile[at + l + 2u] * gram_row(depth + l + 2u, first_vector);
                    residual -= token_tile[at + l + 3u] * gram_row(depth + l + 3u, first_vector);
                }
                for (; l < count; l++) {
                    residual -= token_tile[at + l] * last_gram_row(depth + l, first_vector);
                }
                workgroupBarrier();
            }

            if thread < BLOCK {
                let four = square[thread * BLOCK_VECTORS + thread / 4u];
                inverses[thread] = inverse_of(four[thread % 4u]);
            }
            workgroupBarrier();
            let inverse = mat4x4(
                vec4(inverses[0], inverses[1], inverses[2], inverses[3]),
                vec4(inverses[4], inverses[5], inverses[6], inverses[7]),
                vec4(inverses[8], inverses[9], inverses[10], inverses[11]),
                vec4(inverses[12], inverses[13], inverses[14], inverses[15]),
            );
            var step: f32;
            step = descend(residual[0].x, y[0].x, inverse[0].x);
            y[0].x += step;
            residual -= step * square_row(0u);
            step = descend(residual[0].y, y[0].y, inverse[0].y);
            y[0].y += step;
            residual -= step * square_row(1u);
            step = descend(residual[0].z, y[0].z, inverse[0].z);
            y[0].z += step;
            residual -= step * square_row(2u);
            step = descend(residual[0].w, y[0].w, inverse[0].w);
            y[0].w += step;
            residual -= step * square_row(3u);
            step = descend(residual[1].x, y[1].x, inverse[1].x);
            y[1].x += step;
            residual -= step * square_row(4u);
            step = descend(residual[1].y, y[1].y, inverse[1].y);
            y[1].y += step;
            residual -= step * square_row(5u);
            step = descend(residual[1].z, y[1].z, inverse[1].z);
            y[1].z += step;
            residual -= step * square_row(6u);
            step = descend(residual[1].w, y[1].w, inverse[1].w);
            y[1].w += step;
            residual -= step * square_row(7u);
            step = descend(residual[2].x, y[2].x, inverse[2].x);
            y[2].x += step;
            residual -= step * square_row(8u);
            step = descend(residual[2].y, y[2].y, inverse[2].y);
            y[2].y += step;
            residual -= step * square_row(9u);
            step = descend(residual[2].z, y[2].z, inverse[2].z);
            y[2].z += step;
            residual -= step * square_row(10u);
            step = descend(residual[2].w, y[2].w, inverse[2].w);
            y[2].w += step;
            residual -= step * square_row(11u);
            step = descend(residual[3].x, y[3].x, inverse[3].x);
            y[3].x += step;
            residual -= step * square_row(12u);
            step = descend(residual[3].y, y[3].y, inverse[3].y);
            y[3].y += step;
            residual -= step * square_row(13u);
            step = descend(residual[3].z, y[3].z, inverse[3].z);
            y[3].z += step;
            residual -= step * square_row(14u);
            step = descend(residual[3].w, y[3].w, inverse[3].w);
            y[3].w += step;
            residual -= step * square_row(15u);

            // Padding has no inverse and becomes zero.
            let vectors = params.stride / 4u;
            if token < params.rows {
                let at = token * vectors + first_vector;
                coefficients[at] = y[0];
                if first_vector + 1u < vectors {
                    coefficients[at + 1u] = y[1];
                }
                if first_vector + 2u < vectors {
                    coefficients[at + 2u] = y[2];
                }
                if first_vector + 3u < vectors {
                    coefficients[at + 3u] = y[3];
                }
            }
            // The next block reads these coefficients, and reuses the workgroup memory.
            storageBarrier();
            workgroupBarrier();
        }
    }
}
