// Coordinate descent (HALS; Cichocki and Phan 2009) on the coefficients, with a penalty on each token's sum. It goes
// over the features k in ascending order, `sweeps` times, and always uses the newest y:
//   y_ik = max(0, y_ik + (P_ik - penalty |x_i| - sum_l y_il Q_lk) / Q_kk), and 0 if Q_kk = 0.
// With `scaled`, y_ik = scales_k y_ik before that. With `inner`, <Y, P> afterwards.
// projections P [rows, K], feature_gram Q [K, K] (symmetric), squared_norms |x_i|^2 [rows], scales [K], coefficients Y
// [rows, K], partials: 256 pairs (high, low) as in `inner_product`.
//
// A workgroup takes 32 tokens at a time. Features are taken in blocks of 32. What is left of the projections for a block
// is a product over all features: a thread takes four features of two tokens. Then each of 32 threads takes a token,
// whose steps within the block follow one another, four features at a time. The coefficients in memory are read and
// written by the same threads, so that none waits for memory that another thread writes.
// Dispatch min(⌈rows/32⌉, 256) workgroups, looping.

import package::shared::block_elimination::{
    BLOCK, BLOCK_VECTORS, HALF, ITEMS, ITEM_VECTORS, Residuals, item_tile, matrix_tile, rest_of, square, subtract,
};
import package::shared::compensated_sum::{all_as_rounded, plus, plus_pair};

const THREADS = 128u;
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

// What is left of the projections for the block.
var<workgroup> residual_tile: array<vec4<f32>, ITEMS * ITEM_VECTORS>;
// 1/Q_kk of the block's features.
var<workgroup> inverses: array<vec4<f32>, BLOCK_VECTORS>;
var<workgroup> sums: array<vec2<f32>, THREADS>;

// Four columns of Q from column 4 * vector.
fn gram_vector(row: u32, vector: u32) -> vec4<f32> {
    let row_vectors = params.gram_stride / 4u;
    return feature_gram[min(row, params.rank - 1u) * row_vectors + min(vector, row_vectors - 1u)];
}

fn is_inside(token: u32, vector: u32) -> bool {
    return (token < params.rows) & (vector < params.stride / 4u);
}

fn place(token: u32, vector: u32) -> u32 {
    return min(token, params.rows - 1u) * (params.stride / 4u) + min(vector, params.stride / 4u - 1u);
}

// Four coefficients of a token, zero outside.
fn token_vector(token: u32, vector: u32, is_scaled: bool) -> vec4<f32> {
    var value = coefficients[place(token, vector)];
    if is_scaled {
        value *= scales[min(vector, params.stride / 4u - 1u)];
    }
    return select(vec4<f32>(), value, is_inside(token, vector));
}

// Four projections of a token, zero outside.
fn projection_vector(token: u32, vector: u32) -> vec4<f32> {
    return select(vec4<f32>(), projections[place(token, vector)], is_inside(token, vector));
}

fn penalty_of(token: u32) -> vec4<f32> {
    var penalty = 0.0;
    if token < params.rows {
        penalty = params.penalty * sqrt(squared_norms[token]);
    }
    return vec4(penalty);
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

// The steps of four features of a token, one after the other. Their coefficients are brought up to date.
fn steps_of(four: u32, residual: vec4<f32>, token: u32) -> vec4<f32> {
    let at = token * ITEM_VECTORS + four;
    let weights = square(four, four);
    let y = item_tile[at];
    var rest = residual;
    let inverse = inverses[four];
    let first = descend(rest.x, y.x, inverse.x);
    rest -= first * weights[0];
    let second = descend(rest.y, y.y, inverse.y);
    rest -= second * weights[1];
    let third = descend(rest.z, y.z, inverse.z);
    rest -= third * weights[2];
    let fourth = descend(rest.w, y.w, inverse.w);
    let steps = vec4(first, second, third, fourth);
    item_tile[at] = y + steps;
    return steps;
}

// The steps of a token within the block. They take the place of the residuals.
fn descend_block(token: u32) {
    let at = token * ITEM_VECTORS;
    for (var four = 0u; four < BLOCK_VECTORS; four++) {
        var rest = residual_tile[at + four];
        for (var before = 0u; before < four; before++) {
            rest = rest_of(rest, square(before, four), residual_tile[at + before]);
        }
        residual_tile[at + four] = steps_of(four, rest, token);
    }
}

// What a thread contributes to a stage.
struct Stage {
    first_y: vec4<f32>,
    second_y: vec4<f32>,
    first_q: vec4<f32>,
    second_q: vec4<f32>,
}

fn load(stage: u32, block: u32, sweep: u32, first_token: u32, thread: u32) -> Stage {
    let column = thread % BLOCK_VECTORS;
    let row = thread / BLOCK_VECTORS;
    let token = first_token + row;
    let vector = stage * BLOCK_VECTORS + column;
    // Blocks before this one have been scaled already.
    let is_scaled = params.scaled != 0u && sweep == 0u && stage >= block;
    return Stage(
        token_vector(token, vector, is_scaled),
        token_vector(token + HALF, vector, is_scaled),
        gram_vector(stage * BLOCK + row, block * BLOCK_VECTORS + column),
        gram_vector(stage * BLOCK + row + HALF, block * BLOCK_VECTORS + column),
    );
}

// The pair plus four values.
fn plus_all(pair: vec2<f32>, values: vec4<f32>) -> vec2<f32> {
    return plus(plus(plus(plus(pair, values.x), values.y), values.z), values.w);
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
    // A thread's vector of a block, and the first of its tokens. It stages, computes and stores these.
    let column = thread % BLOCK_VECTORS;
    let row = thread / BLOCK_VECTORS;
    let own = row * ITEM_VECTORS;
    let blocks = (params.rank + BLOCK - 1u) / BLOCK;
    var products = vec2<f32>();
    for (var first_token = workgroup.x * ITEMS; first_token < params.rows; first_token += workgroups.x * ITEMS) {
        let token = first_token + row;
        for (var sweep = 0u; sweep < params.sweeps; sweep++) {
            for (var block = 0u; block < blocks; block++) {
                let vector = block * BLOCK_VECTORS + column;
                var residuals = Residuals(vec4<f32>(), vec4<f32>());
                // The block's own square comes last, and stays in the stage with the coefficients of the block.
                var stage = after(block, blocks);
                var next = load(stage, block, sweep, first_token, thread);
                for (var step = 0u; step < blocks; step++) {
                    workgroupBarrier();
                    item_tile[own + column] = next.first_y;
                    item_tile[own + HALF * ITEM_VECTORS + column] = next.second_y;
                    matrix_tile[thread] = next.first_q;
                    matrix_tile[thread + THREADS] = next.second_q;
                    workgroupBarrier();
                    // Loads for the next stage take their time while this one is multiplied.
                    stage = after(stage, blocks);
                    if step + 1u < blocks {
                        next = load(stage, block, sweep, first_token, thread);
                    } else {
                        next.first_y = projection_vector(token, vector);
                        next.second_y = projection_vector(token + HALF, vector);
                    }
                    // Without a loop, because software devices end a shader after 65,535 iterations of its loops.
                    subtract(&residuals, own, column, 0u);
                    subtract(&residuals, own, column, 1u);
                    subtract(&residuals, own, column, 2u);
                    subtract(&residuals, own, column, 3u);
                    subtract(&residuals, own, column, 4u);
                    subtract(&residuals, own, column, 5u);
                    subtract(&residuals, own, column, 6u);
                    subtract(&residuals, own, column, 7u);
                }
                if thread < BLOCK_VECTORS {
                    let weights = square(thread, thread);
                    inverses[thread] = vec4(
                        inverse_of(weights[0].x), inverse_of(weights[1].y),
                        inverse_of(weights[2].z), inverse_of(weights[3].w),
                    );
                }
                residual_tile[own + column] = next.first_y - penalty_of(token) + residuals.first;
                residual_tile[own + HALF * ITEM_VECTORS + column] = next.second_y - penalty_of(token + HALF) + residuals.second;
                workgroupBarrier();
                if thread < ITEMS {
                    descend_block(thread);
                }
                workgroupBarrier();
                let first_y = item_tile[own + column];
                let second_y = item_tile[own + HALF * ITEM_VECTORS + column];
                if is_inside(token, vector) {
                    coefficients[place(token, vector)] = first_y;
                }
                if is_inside(token + HALF, vector) {
                    coefficients[place(token + HALF, vector)] = second_y;
                }
                if params.inner != 0u && sweep + 1u == params.sweeps {
                    products = plus_all(products, all_as_rounded(first_y * projection_vector(token, vector)));
                    products = plus_all(products, all_as_rounded(second_y * projection_vector(token + HALF, vector)));
                }
            }
        }
    }

    if params.inner != 0u {
        sums[thread] = products;
        for (var half = THREADS / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if thread < half {
                sums[thread] = plus_pair(sums[thread], sums[thread + half]);
            }
        }
        // Partial sums without a workgroup stay as they are, or start as zero.
        for (var at = workgroup.x; thread == 0u && at < PARTIALS; at += workgroups.x) {
            var sum = select(vec2<f32>(), sums[0], at == workgroup.x);
            if params.inner == CONTINUES {
                sum = plus_pair(vec2(partials[2u * at], partials[2u * at + 1u]), sum);
            }
            partials[2u * at] = sum.x;
            partials[2u * at + 1u] = sum.y;
        }
    }
}
