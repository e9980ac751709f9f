// Coordinate descent (HALS; Cichocki and Phan 2009) on the features k from first_feature up to end_feature, one after the
// other:
//   z_k = r_k cut to its m largest magnitudes, divided by its norm, unchanged if C_kk = 0;
//   r_l = r_l - C_kl (z_k - z_k before) for the later features l up to end_residual.
// coefficient_gram C = Y^T Y [K, K], residuals r [K, d], features Z [K, d], kept_indices [K, m] (ascending),
// kept_values [K, m].
// One workgroup. Each vector of four residuals is read and written by one thread, so that none waits for memory that another
// thread writes. The threads of a team share the same vectors of all rows, a row further each goes to the next thread. So
// all of them correct the later rows where a neuron changes. Row k is not needed after its step.

import package::shared::selection::{BITS, MAGNITUDE, THREADS, before_word, keep_largest, scan};
import package::shared::short_list::{
    Bounds, NONE, SPREAD, add_square, add_to_bucket, bounds_of_kept, clear_list, clear_squares, largest_kept, least_kept, links,
    list_fails, list_other, listed_kept, listed_neurons, listed_others, listed_values, norm_of_list, put_on_list, remains,
    scale_of_list,
};

const EXPONENT_BITS = 0x7f800000u;
const TEAM = 32u;
const TEAMS = THREADS / TEAM;
// Vectors of a row that a thread reads at once, those of all threads, and how often they do so for the longest row of which a list
// is made. More threads come with more registers for each, and with more workgroup memory.
@if(threads_512)
const SLOTS = 8u;
@else
const SLOTS = 4u;
const RUN = SLOTS * THREADS;
@if(threads_512)
const RUNS = 3u;
@else
const RUNS = 4u;

struct Params {
    first_feature: u32,
    end_feature: u32,
    end_residual: u32,
    columns: u32,
    stride: u32,
    gram_stride: u32,
    kept: u32,
    rank: u32,
}

@group(0) @binding(0) var<storage, read> coefficient_gram: array<f32>;
@group(0) @binding(1) var<storage, read_write> residuals: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> features: array<f32>;
@group(0) @binding(3) var<storage, read_write> kept_indices: array<u32>;
@group(0) @binding(4) var<storage, read_write> kept_values: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

// Which of a thread's neurons of the row are kept so far, a bit for each, those of eight vectors in a word.
const WORD = 8u * THREADS;
const WORDS = RUNS * RUN / WORD;
var<workgroup> marks: array<atomic<u32>, WORDS * THREADS>;
// The neurons kept so far, ascending, and NONE behind them.
var<workgroup> kept_before: array<u32, THREADS>;
// How many neurons are dropped or new. Twice the dropped ones, and twice the new ones and 1, are in `scan`.
var<workgroup> swaps: atomic<u32>;
// Neurons that change, and the bits of their changes, one team after the other, and how many each team has, two in a word.
var<workgroup> listed_changes: array<vec2<u32>, THREADS>;
var<workgroup> team_counts: array<atomic<u32>, TEAMS / 2u>;
// Which of a team's vectors change, where whole rows are corrected.
var<workgroup> team_changes: array<atomic<u32>, TEAMS>;

// A thread's place in the row: it owns the vectors that are so many more than a multiple of THREADS.
fn place_in_row(row: u32, thread: u32) -> u32 {
    return (thread & ~(TEAM - 1u)) | ((thread - row) & (TEAM - 1u));
}

fn owner(row: u32, v: u32) -> u32 {
    return (v & (THREADS - TEAM)) | ((v + row) & (TEAM - 1u));
}

// The first later row, from `row` on, of which a thread owns the v-th vector. The others are TEAM rows apart.
fn own_row(row: u32, v: u32, thread: u32) -> u32 {
    return row + ((thread - v - row) & (TEAM - 1u));
}

fn candidates(feature: u32, v: u32) -> vec4<f32> {
    return residuals[feature * (params.stride / 4u) + v];
}

// Row k is used up when this is called. It takes the changes.
fn replace(feature: u32, v: u32, result: vec4<f32>) {
    let at = feature * params.stride + 4u * v;
    let before = vec4(features[at], features[at + 1u], features[at + 2u], features[at + 3u]);
    features[at] = result.x;
    features[at + 1u] = result.y;
    features[at + 2u] = result.z;
    features[at + 3u] = result.w;
    residuals[feature * (params.stride / 4u) + v] = result - before;
}

// Corrects the later rows where the whole feature may have changed. The threads of a team tell each other their changes.
fn correct_by_row(feature: u32, thread: u32) {
    let row_vectors = params.stride / 4u;
    let place = place_in_row(feature, thread);
    for (var first = 0u; first < row_vectors; first += THREADS) {
        var change = vec4<f32>();
        if first + place < row_vectors {
            change = candidates(feature, first + place);
        }
        workgroupBarrier();
        listed_neurons[place] = bitcast<u32>(change.x);
        listed_values[place] = bitcast<u32>(change.y);
        links[place] = bitcast<u32>(change.z);
        scan[place] = bitcast<u32>(change.w);
        if thread % TEAM == 0u {
            atomicStore(&team_changes[thread / TEAM], 0u);
        }
        workgroupBarrier();
        if any(change != vec4<f32>()) {
            atomicOr(&team_changes[thread / TEAM], 1u << (place % TEAM));
        }
        workgroupBarrier();
        var changed = atomicLoad(&team_changes[thread / TEAM]);
        while changed != 0u {
            let other = (thread & ~(TEAM - 1u)) + firstTrailingBit(changed);
            changed &= changed - 1u;
            let v = first + other;
            let its_change = bitcast<vec4<f32>>(
                vec4(listed_neurons[other], listed_values[other], links[other], scan[other]),
            );
            for (var l = own_row(feature + 1u, v, thread); l < params.end_residual; l += TEAM) {
                residuals[l * row_vectors + v] -= coefficient_gram[feature * params.gram_stride + l] * its_change;
            }
        }
    }
    workgroupBarrier();
}

// A neuron that the feature keeps so far.
fn kept_neuron(feature: u32, entry: u32) -> u32 {
    if feature >= params.end_feature || entry >= params.kept {
        return NONE;
    }
    return kept_indices[feature * params.kept + entry];
}

fn clear_marks(thread: u32) {
    for (var word = 0u; word < WORDS; word++) {
        atomicStore(&marks[word * THREADS + thread], 0u);
    }
}

// Marks a neuron for the owner of its vector.
fn mark_kept(feature: u32, neuron: u32) {
    if neuron < params.columns {
        let v = neuron / 4u;
        let bit = v / THREADS % 8u * 4u + neuron % 4u;
        atomicOr(&marks[v / WORD * THREADS + owner(feature, v)], 1u << bit);
    }
}

// The neuron of the lowest bit, where the bits are those of vectors from `first` on.
fn neuron_of(bits: u32, first: u32) -> u32 {
    let bit = firstTrailingBit(bits);
    return 4u * (first + bit / 4u * THREADS) + bit % 4u;
}

fn residual_of(feature: u32, neuron: u32) -> f32 {
    return residuals[feature * (params.stride / 4u) + neuron / 4u][neuron % 4u];
}

// Lists the marked neurons of a word, three at a time. Hardly a thread has more.
fn list_marked(feature: u32, word: u32, place: u32, thread: u32) {
    let vector = word * WORD + place;
    var bits = atomicLoad(&marks[word * THREADS + thread]);
    if bits == 0u {
        return;
    }
    var entry = atomicAdd(&listed_kept, countOneBits(bits));
    var least = MAGNITUDE;
    var greatest = 0u;
    while bits != 0u {
        let first = neuron_of(bits, vector);
        bits &= bits - 1u;
        let has_second = bits != 0u;
        let second = select(first, neuron_of(bits, vector), has_second);
        bits &= bits - 1u;
        let has_third = bits != 0u;
        let third = select(first, neuron_of(bits, vector), has_third);
        bits &= bits - 1u;
        let first_value = residual_of(feature, first);
        let second_value = residual_of(feature, second);
        let third_value = residual_of(feature, third);
        let magnitudes = bitcast<vec3<u32>>(vec3(first_value, second_value, third_value)) & vec3(MAGNITUDE);
        least = min(min(least, magnitudes.x), min(magnitudes.y, magnitudes.z));
        greatest = max(max(greatest, magnitudes.x), max(magnitudes.y, magnitudes.z));
        put_on_list(entry, first, first_value);
        if has_second {
            put_on_list(entry + 1u, second, second_value);
        }
        if has_third {
            put_on_list(entry + 2u, third, third_value);
        }
        entry += 3u;
    }
    atomicMin(&least_kept[thread % SPREAD], least);
    atomicMax(&largest_kept[thread % SPREAD], greatest);
}

// A thread's vectors of a run. Beyond the row, they are its last one.
struct Run {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
    @if(threads_512)
    e: vec4<f32>,
    @if(threads_512)
    f: vec4<f32>,
    @if(threads_512)
    g: vec4<f32>,
    @if(threads_512)
    h: vec4<f32>,
}

// Loads side by side hide each other's latency.
fn read_run(feature: u32, run: u32, place: u32) -> Run {
    let v = run * RUN + place;
    let last = params.stride / 4u - 1u;
    var row = Run();
    row.a = candidates(feature, min(v, last));
    row.b = candidates(feature, min(v + THREADS, last));
    row.c = candidates(feature, min(v + 2u * THREADS, last));
    row.d = candidates(feature, min(v + 3u * THREADS, last));
    @if(threads_512) {
        row.e = candidates(feature, min(v + 4u * THREADS, last));
        row.f = candidates(feature, min(v + 5u * THREADS, last));
        row.g = candidates(feature, min(v + 6u * THREADS, last));
        row.h = candidates(feature, min(v + 7u * THREADS, last));
    }
    return row;
}

// Which of four values are as large as `least`, as bits.
fn large_bits(values: vec4<f32>, least: f32) -> u32 {
    let bits = select(vec4(0u), BITS, abs(values) >= vec4(least));
    return bits.x | bits.y | bits.z | bits.w;
}

// The same of a run, without what is beyond the row.
fn large_bits_of_run(row: Run, run: u32, place: u32, least: f32) -> u32 {
    var bits = large_bits(row.a, least) | (large_bits(row.b, least) << 4u);
    bits |= (large_bits(row.c, least) << 8u) | (large_bits(row.d, least) << 12u);
    @if(threads_512) {
        bits |= (large_bits(row.e, least) << 16u) | (large_bits(row.f, least) << 20u);
        bits |= (large_bits(row.g, least) << 24u) | (large_bits(row.h, least) << 28u);
    }
    let row_vectors = params.stride / 4u;
    let slots = (max(row_vectors, run * RUN + place) - run * RUN - place + THREADS - 1u) / THREADS;
    return select(bits & ((1u << (4u * slots)) - 1u), bits, slots >= SLOTS);
}

fn value_in_run(row: Run, bit: u32) -> f32 {
    let slot = bit / 4u;
    var vector = select(select(row.a, row.b, slot == 1u), select(row.c, row.d, slot == 3u), slot >= 2u);
    @if(threads_512) {
        let high = select(select(row.e, row.f, slot == 5u), select(row.g, row.h, slot == 7u), slot >= 6u);
        vector = select(vector, high, slot >= 4u);
    }
    let pair = select(vector.xy, vector.zw, bit % 4u >= 2u);
    return select(pair.x, pair.y, bit % 2u == 1u);
}

struct Entry {
    neuron: u32,
    before: f32,
    value: f32,
    remains: bool,
    changes: bool,
    place: u32,
}

// Where a team's changes begin, and how many there are.
fn changes_of_team(team: u32) -> vec2<u32> {
    var before = 0u;
    var own = 0u;
    for (var i = 0u; i < TEAMS / 2u; i++) {
        let counts = atomicLoad(&team_counts[i]);
        before += select(0u, counts, i < team / 2u);
        own = select(own, counts, i == team / 2u);
    }
    let first = (before & 0xffffu) + (before >> 16u);
    let low = own & 0xffffu;
    return select(vec2(first, low), vec2(first + low, own >> 16u), team % 2u == 1u);
}

// How many neurons that are kept so far are lower, looked for in steps of 64, of 8 and of 1. Those of a step wait for no other.
fn lower_before(neuron: u32) -> u32 {
    var low = 0u;
    for (var i = 64u; i < THREADS; i += 64u) {
        low += select(0u, 64u, kept_before[i] < neuron);
    }
    let block = low;
    for (var i = 8u; i < 64u; i += 8u) {
        low += select(0u, 8u, kept_before[block + i] < neuron);
    }
    let group = low;
    for (var i = 0u; i < 8u; i++) {
        low += select(0u, 1u, kept_before[group + i] < neuron);
    }
    return low;
}

// Writes an entry that was kept or is kept. Its place among the kept ones is the number of lower neurons.
fn write_entry(feature: u32, entry: Entry) {
    var low = lower_before(entry.neuron);
    let count = atomicLoad(&swaps);
    for (var i = 0u; i < count; i += 4u) {
        let places = vec4(i, i + 1u, i + 2u, i + 3u);
        let swap = vec4(scan[places.x], scan[places.y], scan[places.z], scan[places.w]);
        let added = select(vec4(0u), 2u * (swap % 2u) - 1u, (swap / 2u < vec4(entry.neuron)) & (places < vec4(count)));
        low += added.x + added.y + added.z + added.w;
    }
    features[feature * params.stride + entry.neuron] = entry.value;
    if entry.remains {
        kept_indices[feature * params.kept + low] = entry.neuron;
        kept_values[feature * params.kept + low] = entry.value;
    }
}

// Later rows are corrected in windows of TEAM rows, from the last one down, so that each thread of a team has one row of a window.
// Some have corrections of zero: rows that are used up, rows beyond the last one, and those that two windows share.
struct Window {
    first: u32,
    end: u32,
}

// A window's first row, and the end of what it corrects.
fn window(number: u32) -> Window {
    let end = params.end_residual - min(params.end_residual, number * TEAM);
    return Window(max(end, TEAM) - TEAM, end);
}

// The weight of a thread's row of a window.
fn weight_of(feature: u32, thread: u32) -> f32 {
    let window = window(thread / TEAM);
    let row = window.first + thread % TEAM;
    let at = feature * params.gram_stride + min(row, params.rank - 1u);
    return select(0.0, coefficient_gram[at], row > feature && row < window.end);
}

// Four residuals, one of each change: where they are, weights of the changes, and what they were.
struct Corrections {
    vectors: vec4<u32>,
    components: vec4<u32>,
    weights: vec4<f32>,
    before: vec4<f32>,
}

fn weight_in_window(number: u32, row: u32) -> f32 {
    return bitcast<f32>(before_word[number * TEAM + row]);
}

// Of the changes from `first` on, in a window. Beyond the last change, it is the last one again.
fn corrections(number: u32, first: u32, last: u32, thread: u32) -> Corrections {
    let row_vectors = params.stride / 4u;
    let changes = min(vec4(first, first + 1u, first + 2u, first + 3u), vec4(last));
    let neurons = vec4(
        listed_changes[changes.x].x, listed_changes[changes.y].x, listed_changes[changes.z].x, listed_changes[changes.w].x,
    );
    let first_row = window(number).first;
    let rows = (vec4(thread - first_row) - neurons / 4u) & vec4(TEAM - 1u);
    let vectors = vec4(first_row * row_vectors) + rows * row_vectors + neurons / 4u;
    let components = neurons % 4u;
    return Corrections(
        vectors,
        components,
        vec4(
            weight_in_window(number, rows.x), weight_in_window(number, rows.y),
            weight_in_window(number, rows.z), weight_in_window(number, rows.w),
        ),
        vec4(
            residuals[vectors.x][components.x], residuals[vectors.y][components.y],
            residuals[vectors.z][components.z], residuals[vectors.w][components.w],
        ),
    );
}

fn correct(first: u32, last: u32, them: Corrections) {
    let at = min(vec4(first, first + 1u, first + 2u, first + 3u), vec4(last));
    let changes = vec4(
        listed_changes[at.x].y, listed_changes[at.y].y, listed_changes[at.z].y, listed_changes[at.w].y,
    );
    let corrected = them.before - them.weights * bitcast<vec4<f32>>(changes);
    residuals[them.vectors.x][them.components.x] = corrected.x;
    residuals[them.vectors.y][them.components.y] = corrected.y;
    residuals[them.vectors.z][them.components.z] = corrected.z;
    residuals[them.vectors.w][them.components.w] = corrected.w;
}

// Corrects the later rows where listed neurons change, if there are fewer features than a window has rows.
fn correct_few_rows(feature: u32, thread: u32) {
    let changes = changes_of_team(thread / TEAM);
    let row_vectors = params.stride / 4u;
    // FXC compiles a loop that ends so, and takes one that begins so for a danger to barriers.
    var i = 0u;
    loop {
        let change = listed_changes[min(changes.x + i, THREADS - 1u)];
        let row = own_row(0u, change.x / 4u, thread);
        if i < changes.y && row > feature && row < params.end_residual {
            let vector = row * row_vectors + change.x / 4u;
            residuals[vector][change.x % 4u] -= weight_in_window(0u, row) * bitcast<f32>(change.y);
        }
        i++;
        if i >= changes.y {
            break;
        }
    }
}

// Corrects the later rows where listed neurons change, and writes the feature's entries meanwhile. Loads side by side hide
// each other's latency.
fn correct_by_list(feature: u32, entry: Entry, thread: u32) {
    let changes = changes_of_team(thread / TEAM);
    if changes.y == 0u {
        if entry.changes {
            write_entry(feature, entry);
        }
        return;
    }
    let last = changes.x + changes.y - 1u;
    let windows = (params.end_residual - feature + TEAM - 2u) / TEAM;
    var number = 0u;
    var first = changes.x;
    var is_written = !entry.changes;
    loop {
        let a = corrections(number, first, last, thread);
        let b = corrections(number, first + 4u, last, thread);
        @if(threads_512)
        let c = corrections(number, first + 8u, last, thread);
        @if(threads_512)
        let d = corrections(number, first + 12u, last, thread);
        if !is_written {
            write_entry(feature, entry);
            is_written = true;
        }
        correct(first, last, a);
        correct(first + 4u, last, b);
        @if(threads_512) {
            correct(first + 8u, last, c);
            correct(first + 12u, last, d);
        }
        first += 2u * SLOTS;
        if first > last {
            first = changes.x;
            number++;
        }
        if number >= windows {
            break;
        }
    }
}

// Lists those of a run that are as large as the least of the kept ones, without these.
fn list_others(row: Run, run: u32, place: u32, bounds: Bounds, thread: u32) {
    let marked = atomicLoad(&marks[run * RUN / WORD * THREADS + thread]) >> (run * SLOTS % 8u * 4u);
    if !bounds.are_right {
        return;
    }
    var bits = large_bits_of_run(row, run, place, bitcast<f32>(bounds.least));
    bits &= ~marked;
    while bits != 0u {
        let neuron = neuron_of(bits, run * RUN + place);
        if neuron < params.columns {
            list_other(params.kept, neuron, value_in_run(row, firstTrailingBit(bits)), bounds);
        }
        bits &= bits - 1u;
    }
}

// Chooses from the list, and updates the feature and the later residuals. Marks the kept neurons of the next feature, and leaves
// an empty list. `before` is the value of a neuron that was kept.
fn update_by_list(
    feature: u32, was_kept: bool, before: f32, weight: f32, bounds: Bounds, kept_next: u32, thread: u32,
) {
    var entry = Entry();
    entry.before = before;
    let others = atomicLoad(&listed_others);
    let scale = scale_of_list(bounds);
    if thread < params.kept + others {
        entry.neuron = listed_neurons[thread];
        entry.value = scale * bitcast<f32>(listed_values[thread]);
        entry.remains = remains(thread, others, bounds);
        entry.changes = was_kept || entry.remains;
        if entry.remains {
            add_square(entry.value, thread);
        }
        if was_kept != entry.remains {
            scan[atomicAdd(&swaps, 1u)] = 2u * entry.neuron + select(0u, 1u, entry.remains);
        }
    }
    let team = entry.neuron / 4u % THREADS / TEAM;
    if entry.changes {
        let shift = team % 2u * 16u;
        entry.place = (atomicAdd(&team_counts[team / 2u], 1u << shift) >> shift) & 0xffffu;
    }
    workgroupBarrier();

    if entry.changes {
        entry.value = select(0.0, entry.value / norm_of_list(), entry.remains);
        let at = changes_of_team(team).x + entry.place;
        listed_changes[at] = vec2(entry.neuron, bitcast<u32>(entry.value - entry.before));
    }
    before_word[thread] = bitcast<u32>(weight);
    clear_list(thread);
    mark_kept(feature + 1u, kept_next);
    workgroupBarrier();

    if params.rank >= TEAM {
        correct_by_list(feature, entry, thread);
    } else {
        if entry.changes {
            write_entry(feature, entry);
        }
        correct_few_rows(feature, thread);
    }
}

// A step in which the kept ones bound the others. Returns false, and has updated nothing, if they do not.
fn step_by_list(feature: u32, kept_now: u32, kept_next: u32, thread: u32) -> bool {
    let place = place_in_row(feature, thread);
    let row_vectors = params.stride / 4u;
    // These take their time while the marked ones are listed.
    let weight = weight_of(feature, thread);
    let row = read_run(feature, 0u, place);
    for (var word = 0u; word * WORD < row_vectors; word++) {
        list_marked(feature, word, place, thread);
    }
    workgroupBarrier();

    let bounds = bounds_of_kept(params.kept);
    clear_squares(thread);
    if thread < TEAMS / 2u {
        atomicStore(&team_counts[thread], 0u);
    }
    if thread == 0u {
        atomicStore(&swaps, 0u);
        if !bounds.are_right {
            list_fails = 1u;
        }
    }
    kept_before[thread] = kept_now;
    let was_kept = thread < params.kept && bounds.are_right;
    var before = 0.0;
    if was_kept {
        // Its value before takes its time until the norm is known.
        before = features[feature * params.stride + listed_neurons[thread]];
        add_to_bucket(thread, listed_values[thread] & MAGNITUDE, bounds);
    }
    list_others(row, 0u, place, bounds, thread);
    for (var run = 1u; run * RUN < row_vectors; run++) {
        list_others(read_run(feature, run, place), run, place, bounds, thread);
    }
    clear_marks(thread);
    let is_listed = workgroupUniformLoad(&list_fails) == 0u;
    if is_listed {
        update_by_list(feature, was_kept, before, weight, bounds, kept_next, thread);
    }
    return is_listed;
}

fn energy_of(feature: u32) -> f32 {
    return coefficient_gram[feature * params.gram_stride + feature];
}

// Whether something positive, whose reciprocal is finite.
fn is_energy(energy: f32) -> bool {
    let inverse = 1.0 / energy;
    return energy > 0.0
        && bitcast<u32>(energy) <= EXPONENT_BITS
        && (bitcast<u32>(inverse) & EXPONENT_BITS) != EXPONENT_BITS;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
    // A list has room for the kept ones and some others.
    let makes_lists = params.kept <= min(params.columns, THREADS) && params.stride / 4u <= RUNS * RUN;
    // Each thread takes the weight of a later feature.
    let first_by_list = max(params.end_residual, THREADS) - THREADS;
    clear_marks(thread);
    clear_list(thread);
    listed_changes[thread] = vec2<u32>();
    workgroupBarrier();
    var kept_now = NONE;
    if makes_lists {
        kept_now = kept_neuron(params.first_feature, thread);
        mark_kept(params.first_feature, kept_now);
    }
    workgroupBarrier();

    var next_energy = energy_of(params.first_feature);
    for (var k = params.first_feature; k < params.end_feature; k++) {
        let energy = next_energy;
        // These take their time while this feature is looked at.
        next_energy = energy_of(min(k + 1u, params.end_feature - 1u));
        var kept_next = NONE;
        if makes_lists {
            kept_next = kept_neuron(k + 1u, thread);
        }
        let is_alive = is_energy(energy);
        var is_listed = false;
        if is_alive && makes_lists && k >= first_by_list {
            is_listed = step_by_list(k, kept_now, kept_next, thread);
        }
        if !is_listed {
            if is_alive {
                keep_largest(k, true, 1.0, place_in_row(k, thread));
                correct_by_row(k, thread);
            }
            if makes_lists {
                clear_marks(thread);
                clear_list(thread);
                workgroupBarrier();
                mark_kept(k + 1u, kept_next);
                workgroupBarrier();
            }
        }
        kept_now = kept_next;
    }
}
