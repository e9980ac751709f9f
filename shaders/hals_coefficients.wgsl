// Coordinate descent (HALS; Cichocki and Phan 2009) on the coefficients, with a penalty on each token's sum. It goes
// over the features k in ascending order, `sweeps` times, and always uses the newest y:
//   y_ik = max(0, y_ik + (P_ik - penalty |x_i| - sum_l y_il Q_lk) / Q_kk), and 0 if Q_kk = 0.
// Only coefficients above `least` move, and the others become 0: with `least` = 0, zeros stay zero.
// With `scaled`, y_ik = scales_k y_ik before that. With `inner`, <Y, P> and sum_ik |x_i| y_ik afterwards.
// projections P [rows, K], feature_gram Q [K, K] (symmetric), squared_norms |x_i|^2 [rows], scales [K], coefficients Y
// [rows, K], partials: for each of these two sums 256 pairs (high, low) as in `inner_product`.
//
// A workgroup takes 64 tokens at a time. Features are taken in blocks of 32. What is left of the projections for a block
// is a product over all features, which the threads share. Within the block, the threads of four features take their
// steps, and hand them on to the others. The coefficients in memory are read and written by the same threads, so that
// none waits for memory that another thread writes.
// Dispatch min(⌈rows/64⌉, 256) workgroups, looping.

import package::shared::block_elimination::{
    BLOCK, BLOCK_VECTORS, ITEM_GROUPS, ITEMS, ITEMS_OF_THREAD, Items, MatrixRows, Places, THREADS, item_tile, items_at,
    matrix_tile, put_items, put_matrix, rest_of, square, subtract, subtract_all,
};
import package::shared::compensated_sum::{all_as_rounded, as_rounded, plus, plus_pair};

const PARTIALS = 256u;
const EXPONENT_BITS = 0x7f800000u;
// The value of `inner` if the partial sums are continued. If they start, it is 1.
const CONTINUES = 2u;

struct Params {
    rows: u32,
    rank: u32,
    stride: u32,
    gram_stride: u32,
    sweeps: u32,
    penalty: f32,
    least: f32,
    scaled: u32,
    inner: u32,
    zero: u32,
}

@group(0) @binding(0) var<storage, read> projections: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> feature_gram: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> squared_norms: array<f32>;
@group(0) @binding(3) var<storage, read> scales: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> coefficients: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> partials: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

// A pair for each thread: its share of the weighted sum, and then of the inner product.
var<workgroup> sums: array<vec2<f32>, THREADS>;

// Four columns of Q from column 4 * vector. Zero beyond the last row, so that no coefficients count there.
fn gram_vector(row: u32, vector: u32) -> vec4<f32> {
    let row_vectors = params.gram_stride / 4u;
    let value = feature_gram[min(row, params.rank - 1u) * row_vectors + min(vector, row_vectors - 1u)];
    return select(vec4<f32>(), value, row < params.rank);
}

// What belongs to the tokens of a thread.
@if(four_items)
alias Tokens = vec4<u32>;
@else
alias Tokens = vec2<u32>;
// Four values of each of these tokens, a column for each.
@if(four_items)
alias Rows = mat4x4<f32>;
@else
alias Rows = mat2x4<f32>;

// A thread's tokens from the first on. Beyond the last token, copies of it stand in, which are not stored.
@if(four_items)
fn tokens_from(first: u32) -> Tokens {
    return min(vec4(first) + vec4(0u, 1u, 2u, 3u), vec4(params.rows - 1u));
}
@else
fn tokens_from(first: u32) -> Tokens {
    return min(vec2(first) + vec2(0u, 1u), vec2(params.rows - 1u));
}

// The vector of a row, or its last one. What is beyond that is not stored.
fn within(vector: u32) -> u32 {
    return min(vector, params.stride / 4u - 1u);
}

// Four coefficients of each token.
@if(four_items)
fn coefficients_of(rows: Tokens, vector: u32) -> Rows {
    let at = rows + within(vector);
    return Rows(coefficients[at.x], coefficients[at.y], coefficients[at.z], coefficients[at.w]);
}
@else
fn coefficients_of(rows: Tokens, vector: u32) -> Rows {
    let at = rows + within(vector);
    return Rows(coefficients[at.x], coefficients[at.y]);
}

// Four projections of each token.
@if(four_items)
fn projections_of(rows: Tokens, vector: u32) -> Rows {
    let at = rows + within(vector);
    return Rows(projections[at.x], projections[at.y], projections[at.z], projections[at.w]);
}
@else
fn projections_of(rows: Tokens, vector: u32) -> Rows {
    let at = rows + within(vector);
    return Rows(projections[at.x], projections[at.y]);
}

fn store_one(row: u32, token: u32, vector: u32, values: vec4<f32>) {
    if token < params.rows {
        coefficients[row + vector] = values;
    }
}

// Stores four coefficients of each token that there is.
fn store(rows: Tokens, token: u32, vector: u32, values: Rows) {
    if vector < params.stride / 4u {
        store_one(rows.x, token, vector, values[0]);
        store_one(rows.y, token + 1u, vector, values[1]);
        @if(four_items) {
            store_one(rows.z, token + 2u, vector, values[2]);
            store_one(rows.w, token + 3u, vector, values[3]);
        }
    }
}

// Scales the coefficients that a thread has of its tokens. Direct3D's older compiler wants loops before barriers to be
// the same for all threads.
fn scale_tokens(rows: Tokens, token: u32, column: u32, blocks: u32) {
    for (var block = 0u; block < blocks; block++) {
        let vector = block * BLOCK_VECTORS + column;
        let scale = scales[within(vector)];
        var y = coefficients_of(rows, vector);
        y[0] *= scale;
        y[1] *= scale;
        @if(four_items) {
            y[2] *= scale;
            y[3] *= scale;
        }
        store(rows, token, vector, y);
    }
}

// The norms of the tokens.
@if(four_items)
fn norms_of(tokens: Tokens) -> Items {
    return sqrt(
        vec4(squared_norms[tokens.x], squared_norms[tokens.y], squared_norms[tokens.z], squared_norms[tokens.w]),
    );
}
@else
fn norms_of(tokens: Tokens) -> Items {
    return sqrt(vec2(squared_norms[tokens.x], squared_norms[tokens.y]));
}

// 1/q, or 0 for a feature that takes no coefficient, so that it counts as dead and can be revived. Coefficients are of
// the order 1/sqrt(q), and their squares must not overflow. NaN fails the comparison.
const LEAST_ENERGY: f32 = 1e-24;
fn inverse_of(q: f32) -> f32 {
    let takes_coefficients = q > LEAST_ENERGY && bitcast<u32>(q) < EXPONENT_BITS;
    return select(0.0, 1.0 / q, takes_coefficients);
}

// The steps of coefficients y >= 0 of a feature, which must not take them below zero. NaN takes them to zero.
fn steps_of(residual: Items, y: Items, inverse: f32) -> Items {
    let step = residual * inverse;
    return select(-y, step, (step > -y) & (y > Items(params.least)) & (Items(inverse) > Items(0.0)));
}

// The steps of four features, one after the other. They take the place of the coefficients in the tile, and the new
// coefficients that of the residuals.
fn descend(residuals: Places, four: u32, group: u32, inverse: vec4<f32>) -> Places {
    let at = items_at(four, group);
    let weights = 4u * four * BLOCK_VECTORS + four;
    let first_y = item_tile[at];
    let first = steps_of(residuals[0], first_y, inverse.x);
    item_tile[at] = first;
    var rest = rest_of(residuals, matrix_tile[weights], first);
    let second_y = item_tile[at + ITEM_GROUPS];
    let second = steps_of(rest[1], second_y, inverse.y);
    item_tile[at + ITEM_GROUPS] = second;
    rest = rest_of(rest, matrix_tile[weights + BLOCK_VECTORS], second);
    let third_y = item_tile[at + 2u * ITEM_GROUPS];
    let third = steps_of(rest[2], third_y, inverse.z);
    item_tile[at + 2u * ITEM_GROUPS] = third;
    rest = rest_of(rest, matrix_tile[weights + 2u * BLOCK_VECTORS], third);
    let fourth_y = item_tile[at + 3u * ITEM_GROUPS];
    let fourth = steps_of(rest[3], fourth_y, inverse.w);
    item_tile[at + 3u * ITEM_GROUPS] = fourth;
    return Places(first_y + first, second_y + second, third_y + third, fourth_y + fourth);
}

// What a thread contributes to a block's rows of Q, and its columns of another block.
fn load_gram(rows: u32, columns: u32, thread: u32) -> MatrixRows {
    let row = rows * BLOCK + thread / BLOCK_VECTORS;
    let vector = columns * BLOCK_VECTORS + thread % BLOCK_VECTORS;
    var loaded: MatrixRows;
    loaded.near = gram_vector(row, vector);
    @if(four_items) {
        loaded.far = gram_vector(row + THREADS / BLOCK_VECTORS, vector);
    }
    return loaded;
}

// The pair plus four values of a token, if there is such a token.
fn plus_all(pair: vec2<f32>, values: vec4<f32>, token: u32) -> vec2<f32> {
    let sum = plus(plus(plus(plus(pair, values.x), values.y), values.z), values.w);
    return select(pair, sum, token < params.rows);
}

// The pair plus the sum of four values of a token, weighted by its norm, if there is such a token.
fn plus_weighted(pair: vec2<f32>, values: vec4<f32>, norm: f32, token: u32) -> vec2<f32> {
    let sum = (values.x + values.y) + (values.z + values.w);
    return select(pair, plus(pair, as_rounded(norm * sum)), token < params.rows);
}

// Adds up the pairs of the threads, and writes the sum to the partial sums from word `first` on, or adds it.
fn write_partial(first: u32, workgroup: u32, workgroups: u32, thread: u32) {
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            sums[thread] = plus_pair(sums[thread], sums[thread + half]);
        }
    }
    // Partial sums without a workgroup stay as they are, or start as zero.
    for (var at = workgroup; thread == 0u && at < PARTIALS; at += workgroups) {
        let word = first + 2u * at;
        var sum = select(vec2<f32>(), sums[0], at == workgroup);
        if params.inner == CONTINUES {
            sum = plus_pair(vec2(partials[word], partials[word + 1u]), sum);
        }
        partials[word] = sum.x;
        partials[word + 1u] = sum.y;
    }
}

// The block that follows. After the last one comes the first.
fn after(block: u32, blocks: u32) -> u32 {
    return select(block + 1u, 0u, block + 1u == blocks);
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    // A thread's four features of a block, and its tokens. It stages, computes and stores these.
    let column = thread % BLOCK_VECTORS;
    let group = thread / BLOCK_VECTORS;
    let blocks = (params.rank + BLOCK - 1u) / BLOCK;
    var products = vec2<f32>();
    if params.inner != 0u {
        sums[thread] = vec2<f32>();
    }
    for (var first_token = workgroup.x * ITEMS; first_token < params.rows; first_token += workgroups.x * ITEMS) {
        let token = first_token + ITEMS_OF_THREAD * group;
        let tokens = tokens_from(token);
        let rows = tokens * (params.stride / 4u);
        if params.scaled != 0u {
            scale_tokens(rows, token, column, blocks);
        }
        for (var sweep = 0u; sweep < params.sweeps; sweep++) {
            for (var block = 0u; block < blocks; block++) {
                let vector = block * BLOCK_VECTORS + column;
                let penalty = params.penalty * norms_of(tokens);
                var residuals: Places = transpose(projections_of(rows, vector)) - Places(penalty, penalty, penalty, penalty);
                // The block's own square comes last, and stays in the stage with the coefficients of the block.
                var stage = after(block, blocks);
                var y = coefficients_of(rows, stage * BLOCK_VECTORS + column);
                var weights = load_gram(stage, block, thread);
                for (var step = 0u; step < blocks; step++) {
                    workgroupBarrier();
                    put_items(column, group, transpose(y));
                    put_matrix(weights, thread);
                    workgroupBarrier();
                    // Loads for the next stage take their time while this one is multiplied. After the last one they are
                    // not used.
                    stage = after(stage, blocks);
                    y = coefficients_of(rows, stage * BLOCK_VECTORS + column);
                    weights = load_gram(stage, block, thread);
                    subtract_all(&residuals, column, group);
                }
                let own = square(column, column);
                let inverse = vec4(
                    inverse_of(own[0].x), inverse_of(own[1].y), inverse_of(own[2].z), inverse_of(own[3].w),
                );
                // From here on, steps take the place of the coefficients in the stage.
                workgroupBarrier();
                for (var four = 0u; four < BLOCK_VECTORS; four++) {
                    if column == four {
                        residuals = descend(residuals, four, group, inverse);
                    }
                    workgroupBarrier();
                    if column > four {
                        subtract(&residuals, column, group, four);
                    }
                }
                let found = transpose(residuals);
                store(rows, token, vector, found);
                if params.inner != 0u && sweep + 1u == params.sweeps && vector < params.stride / 4u {
                    // The zero keeps compilers from holding projections and norms in registers all the time.
                    let p = projections_of(rows, vector + params.zero);
                    products = plus_all(products, all_as_rounded(found[0] * p[0]), token);
                    products = plus_all(products, all_as_rounded(found[1] * p[1]), token + 1u);
                    @if(four_items) {
                        products = plus_all(products, all_as_rounded(found[2] * p[2]), token + 2u);
                        products = plus_all(products, all_as_rounded(found[3] * p[3]), token + 3u);
                    }
                    let norms = norms_of(tokens + params.zero);
                    var weighted = sums[thread];
                    weighted = plus_weighted(weighted, found[0], norms.x, token);
                    weighted = plus_weighted(weighted, found[1], norms.y, token + 1u);
                    @if(four_items) {
                        weighted = plus_weighted(weighted, found[2], norms.z, token + 2u);
                        weighted = plus_weighted(weighted, found[3], norms.w, token + 3u);
                    }
                    sums[thread] = weighted;
                }
            }
        }
    }

    if params.inner != 0u {
        write_partial(2u * PARTIALS, workgroup.x, workgroups.x, thread);
        workgroupBarrier();
        sums[thread] = products;
        write_partial(0u, workgroup.x, workgroups.x, thread);
    }
}
