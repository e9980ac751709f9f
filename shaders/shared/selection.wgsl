// The m largest magnitudes of a row of neurons. Of equals, the lower neuron is taken.
//
// The m-th largest magnitude is found by radix selection, 8 bits at a time. Magnitudes compare as integers. The kept
// entries then find their places by prefix sums.
//
// The shader that imports this declares `params` with `columns`, `stride` and `kept`, the bindings `kept_indices` and
// `kept_values`, and these functions:
// - candidates(feature, v) gives the v-th vector of the row from which a feature is taken.
// - replace(feature, v, result) takes the v-th vector of the new feature. Every v comes once, in the thread that reads this
//   vector.

@if(threads_512)
const THREADS = 512u;
@else
const THREADS = 256u;
const DIGITS = 256u;
const DIGIT_BITS = 8u;
const MAGNITUDE = 0x7fffffffu;
const MANTISSA_BITS = 23u;
// Vectors whose neurons have their bits in one word.
const VECTORS_OF_WORD = 8u;
// Vectors of a chunk, in which each thread counts the bits of a word.
const CHUNK = VECTORS_OF_WORD * THREADS;
const LANES = vec4(0u, 1u, 2u, 3u);
const BITS = vec4(1u, 2u, 4u, 8u);

var<workgroup> histogram: array<atomic<u32>, DIGITS>;
// Values of the threads, and behind them those of the groups: counts, or the bits of f32.
var<workgroup> scan: array<u32, THREADS + GROUPS>;
var<workgroup> largest: atomic<u32>;
// Which neurons of a chunk are larger than the m-th largest magnitude, which are equal to it, and how many of both come
// before each word.
var<workgroup> larger_bits: array<atomic<u32>, THREADS>;
var<workgroup> equal_bits: array<atomic<u32>, THREADS>;
var<workgroup> before_word: array<u32, THREADS>;
// The digit of the m-th largest magnitude, and how many of those with this digit are kept.
var<workgroup> chosen: vec2<u32>;

// Threads, or digits, are summed in so many groups, and then the groups.
const GROUPS = 16u;
const GROUP_THREADS = THREADS / GROUPS;

fn four_scanned(first: u32) -> vec4<u32> {
    return vec4(scan[first], scan[first + 1u], scan[first + 2u], scan[first + 3u]);
}

fn sum_of_four(values: vec4<u32>) -> u32 {
    return values.x + values.y + values.z + values.w;
}

// For each thread, the sum of the values of those before. All are looked at, so that no load waits for another. The caller
// needs a barrier before it writes `scan` again.
fn sum_before(value: u32, thread: u32) -> u32 {
    scan[thread] = value;
    workgroupBarrier();
    if thread < GROUPS {
        var sums_of_four = vec4<u32>();
        for (var i = 0u; i < GROUP_THREADS; i += 4u) {
            sums_of_four += four_scanned(thread * GROUP_THREADS + i);
        }
        scan[THREADS + thread] = sum_of_four(sums_of_four);
    }
    workgroupBarrier();
    let own_group = thread / GROUP_THREADS;
    var before = vec4<u32>();
    for (var i = 0u; i < GROUPS; i += 4u) {
        before += select(vec4(0u), four_scanned(THREADS + i), vec4(i) + LANES < vec4(own_group));
    }
    for (var i = own_group * GROUP_THREADS; i < (own_group + 1u) * GROUP_THREADS; i += 4u) {
        before += select(vec4(0u), four_scanned(i), vec4(i) + LANES < vec4(thread));
    }
    return sum_of_four(before);
}

// The sum of a value of each thread. The caller needs a barrier before it writes `scan` again.
fn sum_of_all(value: f32, thread: u32) -> f32 {
    scan[thread] = bitcast<u32>(value);
    workgroupBarrier();
    if thread < GROUPS {
        var sum = 0.0;
        for (var i = 0u; i < GROUP_THREADS; i++) {
            sum += bitcast<f32>(scan[thread * GROUP_THREADS + i]);
        }
        scan[THREADS + thread] = bitcast<u32>(sum);
    }
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < GROUPS; i++) {
        total += bitcast<f32>(scan[THREADS + i]);
    }
    return total;
}

fn magnitudes_of(values: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(values) & vec4(MAGNITUDE);
}

// Which components of the v-th vector of a row are neurons.
fn are_neurons(v: u32) -> vec4<bool> {
    return vec4(v * 4u) + LANES < vec4(params.columns);
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

// The digits found so far, the bits that they take, and where the next one is.
struct Digits {
    prefix: u32,
    known: u32,
    shift: u32,
}

// Counts a magnitude's next digit if it has those found so far. Returns the magnitude then, and otherwise zero.
fn count_digit(magnitude: u32, digits: Digits) -> u32 {
    if (magnitude & digits.known) != digits.prefix {
        return 0u;
    }
    atomicAdd(&histogram[(magnitude >> digits.shift) & (DIGITS - 1u)], 1u);
    return magnitude;
}

// The same for an entry of a row.
fn count_candidate(magnitude: u32, neuron: u32, digits: Digits) -> u32 {
    if neuron >= params.columns {
        return 0u;
    }
    return count_digit(magnitude, digits);
}

// The counts of four digits from the `first` on, counted from the top.
fn four_counts(first: u32) -> vec4<u32> {
    let at = DIGITS - 1u - first;
    return vec4(
        atomicLoad(&histogram[at]), atomicLoad(&histogram[at - 1u]),
        atomicLoad(&histogram[at - 2u]), atomicLoad(&histogram[at - 3u]),
    );
}

fn count_of_group(first: u32) -> u32 {
    var counts = vec4<u32>();
    for (var digit = 0u; digit < DIGITS / GROUPS; digit += 4u) {
        counts += four_counts(first + digit);
    }
    return sum_of_four(counts);
}

// How many magnitudes have a digit that comes before the `digit`-th, counted from the top. The counts of the groups are in
// `scan`. All are looked at, so that no load waits for another.
fn count_before_digit(digit: u32) -> u32 {
    let own_group = digit / (DIGITS / GROUPS);
    let first = own_group * (DIGITS / GROUPS);
    var counts = vec4<u32>();
    for (var i = 0u; i < GROUPS; i += 4u) {
        counts += select(vec4(0u), four_scanned(i), vec4(i) + LANES < vec4(own_group));
        counts += select(vec4(0u), four_counts(first + i), vec4(first + i) + LANES < vec4(digit));
    }
    return sum_of_four(counts);
}

// Sets the bits of those of four neurons that are larger than the threshold, and of those that are equal. `i` is the
// place of their vector in the chunk.
fn mark(larger: vec4<bool>, equal: vec4<bool>, i: u32) {
    let larger_ones = select(vec4(0u), BITS, larger);
    let equal_ones = select(vec4(0u), BITS, equal);
    let shift = i % VECTORS_OF_WORD * 4u;
    if any((larger_ones | equal_ones) != vec4(0u)) {
        let larger_word = (larger_ones.x | larger_ones.y | larger_ones.z | larger_ones.w) << shift;
        let equal_word = (equal_ones.x | equal_ones.y | equal_ones.z | equal_ones.w) << shift;
        atomicOr(&larger_bits[i / VECTORS_OF_WORD], larger_word);
        atomicOr(&equal_bits[i / VECTORS_OF_WORD], equal_word);
    }
}

// Makes a feature of the largest entries of its row, and writes its kept neurons, ascending, and their values. They are
// multiplied by `factor`, or with `unit_norm` divided by their Euclidean norm, unless that is zero. All threads call this
// together.
fn keep_largest(feature: u32, unit_norm: bool, factor: f32, thread: u32) {
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
        let digits = Digits(prefix, known, shift);
        if thread < DIGITS {
            atomicStore(&histogram[thread], 0u);
        }
        workgroupBarrier();
        var thread_largest = 0u;
        for (var v = thread; v < vectors; v += THREADS) {
            let magnitudes = magnitudes_of(candidates(feature, v));
            thread_largest = max(thread_largest, count_candidate(magnitudes.x, 4u * v, digits));
            thread_largest = max(thread_largest, count_candidate(magnitudes.y, 4u * v + 1u, digits));
            thread_largest = max(thread_largest, count_candidate(magnitudes.z, 4u * v + 2u, digits));
            thread_largest = max(thread_largest, count_candidate(magnitudes.w, 4u * v + 3u, digits));
        }
        if digit == 0u {
            atomicMax(&largest, thread_largest);
        }
        workgroupBarrier();
        // Thread t takes the t-th digit, counted from the top. Before it come whole groups of digits, and others of its own.
        if thread < GROUPS {
            scan[thread] = count_of_group(thread * DIGITS / GROUPS);
        }
        workgroupBarrier();
        if thread < DIGITS {
            let own = DIGITS - 1u - thread;
            let count = atomicLoad(&histogram[own]);
            let before = count_before_digit(thread);
            if before < remaining && before + count >= remaining {
                chosen = vec2(own, remaining - before);
            }
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
            let is_kept = (magnitudes_of(values) > vec4(threshold)) & are_neurons(v);
            let scaled = select(vec4<f32>(), scale * values, is_kept);
            sum += dot(scaled, scaled);
        }
        let squares = sum_of_all(sum, thread);
        // It makes no difference which of the equals are kept.
        let tie = scale * bitcast<f32>(threshold);
        norm = sqrt(squares + f32(ties) * tie * tie);
    }

    // Compaction, a chunk of neurons at a time, in order. Each neuron has a bit in a word, and each thread counts the bits
    // of a word. The upper 16 bits of a count are the larger ones, the lower 16 bits the equals.
    var larger_before = 0u;
    var equal_before = 0u;
    for (var chunk = 0u; chunk < row_vectors; chunk += CHUNK) {
        workgroupBarrier();
        atomicStore(&larger_bits[thread], 0u);
        atomicStore(&equal_bits[thread], 0u);
        workgroupBarrier();
        for (var i = thread; i < CHUNK && chunk + i < vectors; i += THREADS) {
            let v = chunk + i;
            let magnitudes = magnitudes_of(candidates(feature, v));
            let is_neuron = are_neurons(v);
            mark((magnitudes > vec4(threshold)) & is_neuron, (magnitudes == vec4(threshold)) & is_neuron, i);
        }
        workgroupBarrier();
        let own = (countOneBits(atomicLoad(&larger_bits[thread])) << 16u) | countOneBits(atomicLoad(&equal_bits[thread]));
        let before = sum_before(own, thread);
        before_word[thread] = before;
        // The last thread knows the counts of the whole chunk.
        if thread == THREADS - 1u {
            chosen = vec2((before + own) >> 16u, (before + own) & 0xffffu);
        }
        let chunk_counts = workgroupUniformLoad(&chosen);
        for (var i = thread; i < CHUNK && chunk + i < row_vectors; i += THREADS) {
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
