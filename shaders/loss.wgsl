// The loss from the Gram identity, |X - YZ|^2 = |X|^2 - 2 <Y, P> + <Y^T Y, Z Z^T>, and whether it is the least so far.
// One workgroup.
// inner, gram_terms [256 pairs (high, low)] from `inner_product`, coefficient_gram and feature_gram [K, K], all as f32
// bits. factorization: the status of the last one, from `cholesky`.
// state: iteration, least bound of a loss (f32 bits), whether this iteration is the best, the best iteration.
// report: iteration + 1, whether it is the best, uncertainty, attempts of the last factorization, inner, gram_terms,
// diagonal of coefficient_gram. A report of zeros is one that was never written.
//
// Features that nearly cancel one another have Gram matrices much larger than the loss, and these are rounded. So the
// loss is known only up to an uncertainty of ROUNDING (|X|^2 + sum_k |y_k|^2 |z_k|^2). The best iterate is the one with
// the least loss plus uncertainty.

import package::shared::compensated_sum::{plus, plus_pair};

const THREADS = 256u;
const PARTIAL_WORDS = 512u;
const HEADER_WORDS = 4u;
// The status of `cholesky`.
const ATTEMPTS = 12u;
const FAILED = 1u;
const SUCCEEDED = 2u;
const INFINITY_BITS = 0x7f800000u;
// 2^-21: a few roundings of an f32.
const ROUNDING = 4.76837158203125e-7;

struct Params {
    rank: u32,
    gram_stride: u32,
    squared_norm: f32,
    zero: u32,
}

@group(0) @binding(0) var<storage, read> inner: array<u32>;
@group(0) @binding(1) var<storage, read> gram_terms: array<u32>;
@group(0) @binding(2) var<storage, read> coefficient_gram: array<u32>;
@group(0) @binding(3) var<storage, read> feature_gram: array<u32>;
@group(0) @binding(4) var<storage, read> factorization: array<u32>;
@group(0) @binding(5) var<storage, read_write> state: array<u32>;
@group(0) @binding(6) var<storage, read_write> report: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;

var<workgroup> sums: array<vec2<f32>, THREADS>;
var<workgroup> energies: array<f32, THREADS>;

fn is_finite(bits: u32) -> bool {
    return (bits & INFINITY_BITS) != INFINITY_BITS;
}

// Attempts of the factorization up to the first that succeeded, or 0 if there was no factorization.
fn attempts() -> u32 {
    for (var attempt = 0u; attempt < ATTEMPTS; attempt++) {
        if factorization[attempt] != FAILED {
            return attempt + select(0u, 1u, factorization[attempt] == SUCCEEDED);
        }
    }
    return ATTEMPTS;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
    let product = vec2(bitcast<f32>(inner[2u * thread]), bitcast<f32>(inner[2u * thread + 1u]));
    let gram_term = vec2(bitcast<f32>(gram_terms[2u * thread]), bitcast<f32>(gram_terms[2u * thread + 1u]));
    // The terms of the loss nearly cancel.
    sums[thread] = plus_pair(-2.0 * product, gram_term);
    var energy = 0.0;
    for (var k = thread; k < params.rank; k += THREADS) {
        let diagonal = k * params.gram_stride + k;
        energy += bitcast<f32>(coefficient_gram[diagonal]) * bitcast<f32>(feature_gram[diagonal]);
    }
    energies[thread] = energy;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            sums[thread] = plus_pair(sums[thread], sums[thread + half]);
            energies[thread] += energies[thread + half];
        }
    }
    if thread == 0u {
        let loss = plus(sums[0], params.squared_norm);
        let uncertainty = ROUNDING * (params.squared_norm + energies[0]);
        // Rounding may also make a loss negative.
        let bound = max(loss.x + loss.y, 0.0) + uncertainty;
        let iteration = state[0];
        let best = state[1];
        let is_best = is_finite(bitcast<u32>(loss.x + loss.y)) && is_finite(bitcast<u32>(bound))
            && (iteration == 0u || !is_finite(best) || bound < bitcast<f32>(best));
        if is_best {
            state[1] = bitcast<u32>(bound);
            state[3] = iteration;
        } else if iteration == 0u {
            state[1] = INFINITY_BITS;
        }
        state[2] = u32(is_best);
        state[0] = iteration + 1u;
        report[0] = iteration + 1u;
        report[1] = u32(is_best);
        report[2] = bitcast<u32>(uncertainty);
        report[3] = attempts();
    }
    for (var word = thread; word < PARTIAL_WORDS; word += THREADS) {
        report[HEADER_WORDS + word] = inner[word];
        report[HEADER_WORDS + PARTIAL_WORDS + word] = gram_terms[word];
    }
    for (var k = thread; k < params.rank; k += THREADS) {
        report[HEADER_WORDS + 2u * PARTIAL_WORDS + k] = coefficient_gram[k * params.gram_stride + k];
    }
}
