// The m largest magnitudes of a row of neurons, and their norm, where the neurons kept so far bound them from below: the
// least of their magnitudes. Few others are as large. These and the kept ones are listed in workgroup memory, and the
// smallest of the list are dropped, so that m remain. Of equals, the lower neuron remains. Each thread has an entry.
//
// As many are dropped as there are others. Buckets of magnitudes, counted from the least, say where: what is below the bucket
// of the last one is dropped, and what is in it is compared. They are fine where few entries are dropped.

import package::shared::selection::{MAGNITUDE, THREADS, inverse_power, sum_of_four};

const NONE = 0xffffffffu;
const NORMAL = 0x00800000u;
const INFINITE = 0x7f800000u;

// Entries of the list, first the neurons kept so far: neurons, and the bits of their values.
var<workgroup> listed_neurons: array<u32, THREADS>;
var<workgroup> listed_values: array<u32, THREADS>;
// How many of the neurons kept so far are listed, and how many others there are.
var<workgroup> listed_kept: atomic<u32>;
var<workgroup> listed_others: atomic<u32>;
// 1 if the list is of no use.
var<workgroup> list_fails: u32;

// Magnitudes of the neurons kept so far, and the largest of the others. Several words, so that threads seldom wait for one.
const SPREAD = 4u;
var<workgroup> least_kept: array<atomic<u32>, SPREAD>;
var<workgroup> largest_kept: array<atomic<u32>, SPREAD>;
var<workgroup> largest_other: atomic<u32>;

// How many entries a bucket has, the last of them, and for each entry the one before.
const BUCKETS = 128u;
const LAST_BUCKET = BUCKETS - 1u;
var<workgroup> bucket_counts: array<atomic<u32>, BUCKETS>;
var<workgroup> bucket_ends: array<atomic<u32>, BUCKETS>;
var<workgroup> links: array<u32, THREADS>;

// Squares of the values that remain, as integers of 18 fractional bits, and 22 bits behind these. Their sum does not
// depend on an order.
var<workgroup> squares: array<atomic<u32>, SPREAD>;
var<workgroup> squares_behind: array<atomic<u32>, SPREAD>;

// What is known of the neurons kept so far: magnitudes, and how wide a bucket is, as a shift.
struct Bounds {
    least: u32,
    greatest: u32,
    shift: u32,
    are_right: bool,
}

// Empties the list and its buckets. They must not be looked at before a barrier.
fn clear_list(thread: u32) {
    if thread == 0u {
        atomicStore(&listed_kept, 0u);
        atomicStore(&listed_others, 0u);
        atomicStore(&largest_other, 0u);
        list_fails = 0u;
    }
    if thread < SPREAD {
        atomicStore(&least_kept[thread], MAGNITUDE);
        atomicStore(&largest_kept[thread], 0u);
    }
    if thread < BUCKETS {
        atomicStore(&bucket_counts[thread], 0u);
        atomicStore(&bucket_ends[thread], NONE);
    }
}

fn clear_squares(thread: u32) {
    if thread < SPREAD {
        atomicStore(&squares[thread], 0u);
        atomicStore(&squares_behind[thread], 0u);
    }
}

fn put_on_list(entry: u32, neuron: u32, value: f32) {
    listed_neurons[entry] = neuron;
    listed_values[entry] = bitcast<u32>(value);
}

// Behind a barrier after all `kept` have been listed. The bounds are right if the neurons differ, and if all magnitudes are
// normal numbers, so that a device that takes others for zero decides alike.
fn bounds_of_kept(kept: u32) -> Bounds {
    var least = MAGNITUDE;
    var greatest = 0u;
    for (var i = 0u; i < SPREAD; i++) {
        least = min(least, atomicLoad(&least_kept[i]));
        greatest = max(greatest, atomicLoad(&largest_kept[i]));
    }
    let are_right = atomicLoad(&listed_kept) == kept && least >= NORMAL && greatest < INFINITE;
    // 2,048 buckets would reach from the least to the largest. The last one takes what is beyond.
    let bits = 32u - countLeadingZeros(select(0u, greatest - least, are_right));
    return Bounds(least, greatest, max(bits, 11u) - 11u, are_right);
}

fn bucket_of(magnitude: u32, bounds: Bounds) -> u32 {
    return min((magnitude - bounds.least) >> bounds.shift, LAST_BUCKET);
}

fn add_to_bucket(entry: u32, magnitude: u32, bounds: Bounds) {
    let bucket = bucket_of(magnitude, bounds);
    atomicAdd(&bucket_counts[bucket], 1u);
    links[entry] = atomicExchange(&bucket_ends[bucket], entry);
}

// Lists a neuron that is not kept so far. If there are too many, the list fails.
fn list_other(kept: u32, neuron: u32, value: f32, bounds: Bounds) {
    let place = kept + atomicAdd(&listed_others, 1u);
    if place < THREADS {
        let magnitude = bitcast<u32>(value) & MAGNITUDE;
        put_on_list(place, neuron, value);
        add_to_bucket(place, magnitude, bounds);
        atomicMax(&largest_other, magnitude);
    }
    if place == THREADS {
        list_fails = 1u;
    }
}

fn four_buckets(first: u32) -> vec4<u32> {
    return vec4(
        atomicLoad(&bucket_counts[first]), atomicLoad(&bucket_counts[first + 1u]),
        atomicLoad(&bucket_counts[first + 2u]), atomicLoad(&bucket_counts[first + 3u]),
    );
}

// Whether an entry remains when the `dropped` smallest are dropped.
fn remains(entry: u32, dropped: u32, bounds: Bounds) -> bool {
    var bucket = 0u;
    var below = 0u;
    var counts = four_buckets(0u);
    var sum = sum_of_four(counts);
    while below + sum < dropped && bucket + 4u < BUCKETS {
        below += sum;
        bucket += 4u;
        counts = four_buckets(bucket);
        sum = sum_of_four(counts);
    }
    let sums = vec4(below) + vec4(
        counts.x, counts.x + counts.y, counts.x + counts.y + counts.z, sum,
    );
    let are_dropped = sums < vec4(dropped);
    let passed = select(vec4(0u), vec4(1u), are_dropped);
    bucket += sum_of_four(passed);
    let before = select(vec4(below), sums, are_dropped);
    let remaining = dropped - max(max(before.x, before.y), max(before.z, before.w));

    let magnitude = listed_values[entry] & MAGNITUDE;
    let own = bucket_of(magnitude, bounds);
    if own != bucket {
        return own > bucket;
    }
    let neuron = listed_neurons[entry];
    var smaller = 0u;
    var other = atomicLoad(&bucket_ends[bucket]);
    while other != NONE {
        let neuron_there = listed_neurons[other];
        let magnitude_there = listed_values[other] & MAGNITUDE;
        other = links[other];
        let is_smaller = (magnitude_there < magnitude) | ((magnitude_there == magnitude) & (neuron_there > neuron));
        smaller += select(0u, 1u, is_smaller);
    }
    return smaller >= remaining;
}

// A power of two near the reciprocal of the largest value.
fn scale_of_list(bounds: Bounds) -> f32 {
    return inverse_power(max(bounds.greatest, atomicLoad(&largest_other)));
}

// Adds the square of a scaled value, which is less than 4.
fn add_square(scaled: f32, thread: u32) {
    let square = scaled * scaled * 262144.0;
    let whole = floor(square);
    atomicAdd(&squares[thread % SPREAD], u32(whole));
    atomicAdd(&squares_behind[thread % SPREAD], u32((square - whole) * 4194304.0));
}

// The norm of the scaled values, behind a barrier after all squares have been added.
fn norm_of_list() -> f32 {
    var sum = 0u;
    var behind = 0u;
    for (var i = 0u; i < SPREAD; i++) {
        sum += atomicLoad(&squares[i]);
        behind += atomicLoad(&squares_behind[i]);
    }
    return sqrt((f32(sum) + f32(behind) / 4194304.0) / 262144.0);
}
