// The m largest magnitudes of a row of neurons. Of equals, the lower neuron is taken.
//
// The m-th largest magnitude is found by radix selection, 8 bits at a time. Magnitudes compare as integers. The kept
// entries then find their places by prefix sums.
//
// The shader that imports this declares `params` with `columns`, `stride` and `kept`, the bindings `kept_indices` and
// `kept_values`, and these functions:
// - candidates(feature, v) gives the v-th vector of the row from which a feature is taken.
// - replace(feature, v, result) takes the v-th vector of the new feature. Every v comes once, in the thread that reads
//   this vector.

const THREADS = 256u;
const DIGITS = 256u;
const DIGIT_BITS = 8u;
const MAGNITUDE = 0x7fffffffu;
const MANTISSA_BITS = 23u;
// Vectors whose neurons have their bits in one word.
const VECTORS_OF_WORD = 8u;
const BITS = vec4(1u, 2u, 4u, 8u);

var<workgroup> histogram: array<atomic<u32>, DIGITS>;
// Two halves, so that one barrier is enough for each step.
var<workgroup> scan: array<u32, 2u * THREADS>;
var<workgroup> sums: array<f32, THREADS>;
var<workgroup> largest: atomic<u32>;
// Which neurons of a chunk are larger than the m-th largest magnitude, which are equal to it, and how many of both come
// before each word.
var<workgroup> larger_bits: array<atomic<u32>, THREADS>;
var<workgroup> equal_bits: array<atomic<u32>, THREADS>;
var<workgroup> before_word: array<u32, THREADS>;
// The digit of the m-th largest magnitude, and how many of those with this digit are kept.
var<workgroup> chosen: vec2<u32>;

// For each thread, the sum of all values up to its own. The caller needs a barrier before it reads or writes `scan`
// again.
fn inclusive_scan(value: u32, thread: u32) -> u32 {
    var sum = value;
    var half = 0u;
    for (var step = 1u; step < THREADS; step *= 2u) {
        scan[half + thread] = sum;
        workgroupBarrier();
        if thread >= step {
            sum += scan[half + thread - step];
        }
        half = THREADS - half;
    }
    return sum;
}

// For each component, how many before it are set.
fn count_before(is_set: vec4<bool>) -> vec4<u32> {
    let ones = select(vec4(0u), vec4(1u), is_set);
    return vec4(0u, ones.x, ones.x + ones.y, ones.x + ones.y + ones.z);
}

// A power of two near 1 / value, given the bits of the value's magnitude.
fn inverse_power(magnitude: u32) -> f32 {
    let exponent = clamp(254 - i32(magnitude >> MANTISSA_BITS), 1, 253);
    return bitcast<f32>(u32(exponent) << MANTISSA_BITS);
}

// Writes a kept entry of a feature.
fn keep(is_kept: bool, at: u32, neuron: u32, value: f32) {
    if is_kept {
        kept_indices[at] = neuron;
        kept_values[at] = value;
    }
}

// Makes a feature of the largest entries of its row, and writes its kept neurons, ascending, and their values. They are
// multiplied by `factor`, or with `unit_norm` divided by their Euclidean norm, unless that is zero. At least m
// magnitudes must be as large as `least`. The others cost less. All threads call this together.
fn keep_largest(feature: u32, least: u32, unit_norm: bool, factor: f32, thread: u32) {
    let lanes = vec4(0u, 1u, 2u, 3u);
    let row_vectors = params.stride / 4u;
    let vectors = (params.columns + 3u) / 4u;
    let kept = min(params.kept, params.columns);

    // Some drivers do not zero workgroup memory for every workgroup.
    if thread == 0u {
        atomicStore(&largest, 0u);
    }

    // Radix selection: `prefix` holds the digits found so far, and `remaining` counts how many of the magnitudes that
    // share them are kept.
    var prefix = 0u;
    var known = 0u;
    var remaining = kept;
    for (var digit = 0u; digit < 4u; digit++) {
        let shift = 24u - digit * DIGIT_BITS;
        atomicStore(&histogram[thread], 0u);
        workgroupBarrier();
        var thread_largest = 0u;
        for (var v = thread; v < vectors; v += THREADS) {
            let magnitudes = bitcast<vec4<u32>>(candidates(feature, v)) & vec4(MAGNITUDE);
            for (var c = 0u; c < 4u; c++) {
                let magnitude = magnitudes[c];
                if v * 4u + c < params.columns && magnitude >= least && (magnitude & known) == prefix {
                    atomicAdd(&histogram[(magnitude >> shift) & (DIGITS - 1u)], 1u);
                    thread_largest = max(thread_largest, magnitude);
                }
            }
        }
        if digit == 0u {
            atomicMax(&largest, thread_largest);
        }
        workgroupBarrier();
        // Thread t takes the t-th digit, counted from the top.
        let own = DIGITS - 1u - thread;
        let count = atomicLoad(&histogram[own]);
        let up_to = inclusive_scan(count, thread);
        if up_to >= remaining && up_to - count < remaining {
            chosen = vec2(own, remaining - (up_to - count));
        }
        let choice = workgroupUniformLoad(&chosen);
        prefix |= choice.x << shift;
        known |= (DIGITS - 1u) << shift;
        remaining = choice.y;
    }
    let threshold = prefix;
    let ties = remaining;

    // The norm is taken scaled by a power of two, so that it neither overflows nor underflows.
    let scale = inverse_power(atomicLoad(&largest));
    var norm = 0.0;
    if unit_norm {
        var sum = 0.0;
        for (var v = thread; v < vectors; v += THREADS) {
            let values = candidates(feature, v);
            let magnitudes = bitcast<vec4<u32>>(values) & vec4(MAGNITUDE);
            let is_kept = (magnitudes > vec4(threshold)) & (vec4(v * 4u) + lanes < vec4(params.columns));
            let scaled = select(vec4<f32>(), scale * values, is_kept);
            sum += dot(scaled, scaled);
        }
        sums[thread] = sum;
        for (var half = THREADS / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if thread < half {
                sums[thread] += sums[thread + half];
            }
        }
        workgroupBarrier();
        // It makes no difference which of the equals are kept.
        let tie = scale * bitcast<f32>(threshold);
        norm = sqrt(sums[0] + f32(ties) * tie * tie);
    }

    // Compaction, 8,192 neurons at a time, in order. Each neuron has a bit in a word, and each thread counts the bits of
    // a word. The upper 16 bits of a count are the larger ones, the lower 16 bits the equals.
    var larger_before = 0u;
    var equal_before = 0u;
    for (var chunk = 0u; chunk < row_vectors; chunk += VECTORS_OF_WORD * THREADS) {
        workgroupBarrier();
        atomicStore(&larger_bits[thread], 0u);
        atomicStore(&equal_bits[thread], 0u);
        workgroupBarrier();
        for (var i = thread; i < VECTORS_OF_WORD * THREADS && chunk + i < vectors; i += THREADS) {
            let v = chunk + i;
            let magnitudes = bitcast<vec4<u32>>(candidates(feature, v)) & vec4(MAGNITUDE);
            let is_neuron = vec4(v * 4u) + lanes < vec4(params.columns);
            let larger = select(vec4(0u), BITS, (magnitudes > vec4(threshold)) & is_neuron);
            let equal = select(vec4(0u), BITS, (magnitudes == vec4(threshold)) & is_neuron);
            let shift = i % VECTORS_OF_WORD * 4u;
            if any((larger | equal) != vec4(0u)) {
                atomicOr(&larger_bits[i / VECTORS_OF_WORD], (larger.x | larger.y | larger.z | larger.w) << shift);
                atomicOr(&equal_bits[i / VECTORS_OF_WORD], (equal.x | equal.y | equal.z | equal.w) << shift);
            }
        }
        workgroupBarrier();
        let own = (countOneBits(atomicLoad(&larger_bits[thread])) << 16u) | countOneBits(atomicLoad(&equal_bits[thread]));
        let up_to = inclusive_scan(own, thread);
        before_word[thread] = up_to - own;
        // The last thread knows the counts of the whole chunk.
        if thread == THREADS - 1u {
            chosen = vec2(up_to >> 16u, up_to & 0xffffu);
        }
        let chunk_counts = workgroupUniformLoad(&chosen);
        for (var i = thread; i < VECTORS_OF_WORD * THREADS && chunk + i < row_vectors; i += THREADS) {
            let v = chunk + i;
            let word = i / VECTORS_OF_WORD;
            let shift = i % VECTORS_OF_WORD * 4u;
            let larger_word = atomicLoad(&larger_bits[word]);
            let equal_word = atomicLoad(&equal_bits[word]);
            let lower = (1u << shift) - 1u;
            let is_larger = (vec4(larger_word >> shift) & BITS) != vec4(0u);
            let is_equal = (vec4(equal_word >> shift) & BITS) != vec4(0u);
            // The padding stays zero.
            var result = vec4<f32>();
            if any(is_larger | is_equal) {
                // How many larger ones and equals come before each of the four.
                let first_larger = larger_before + (before_word[word] >> 16u) + countOneBits(larger_word & lower);
                let first_equal = equal_before + (before_word[word] & 0xffffu) + countOneBits(equal_word & lower);
                let larger = vec4(first_larger) + count_before(is_larger);
                let equal = vec4(first_equal) + count_before(is_equal);
                let is_kept = is_larger | (is_equal & (equal < vec4(ties)));
                let values = candidates(feature, v);
                var kept_part = factor * values;
                if norm > 0.0 {
                    kept_part = scale * values / norm;
                }
                result = select(vec4<f32>(), kept_part, is_kept);
                let at = vec4(feature * params.kept) + larger + min(equal, vec4(ties));
                keep(is_kept.x, at.x, v * 4u, result.x);
                keep(is_kept.y, at.y, v * 4u + 1u, result.y);
                keep(is_kept.z, at.z, v * 4u + 2u, result.z);
                keep(is_kept.w, at.w, v * 4u + 3u, result.w);
            }
            replace(feature, v, result);
        }
        larger_before += chunk_counts.x;
        equal_before += chunk_counts.y;
    }
}
