// out_ik = scale · Σⱼ kept_values[k, j] · x[i, kept_indices[k, j]], for many tokens. With the feature `gram` the features are
// projected onto themselves as well:
//   gram_lk = Σⱼ kept_values[k, j] · features[l, kept_indices[k, j]].
//
// x: rows × stride elements. kept_indices (ascending in each feature), kept_values: rank × kept. out: rows × rank f32.
// features: rank × neurons f32. gram: rank × rank f32.
// A workgroup handles 256 or 512 features, one for each thread, and 16 tokens (8 of f32). It stages one segment of neurons
// after the other, two or three for each thread. The loads are coalesced, and the stage is transposed, so that all tokens of a neuron
// are together. A thread then goes through the neurons of the segment that its feature keeps. So x is read once for all features
// of the workgroup. The entries of a feature are loaded four at a time, because the threads read far apart, and each such load
// takes as long as 32 loads of neighbours. A subgroup waits for the feature that keeps most of a segment. In a segment twice as
// long this is not twice as many. The workgroups for the rows of the features come after those for tokens.
// Dispatch (⌈rank/threads⌉, blocks, 1). There are ⌈rows/tokens⌉ blocks, and with `gram` ⌈rank/8⌉ more. With fewer workgroups in y it
// loops.

import package::shared::elements::{quad};
import package::shared::vote::{goes_on};

struct Params {
    rows: u32,
    stride: u32,
    rank: u32,
    kept: u32,
    out_stride: u32,
    first: u32,
    scale: f32,
    @if(gram)
    feature_stride: u32,
    @if(gram)
    gram_stride: u32,
    @if(gram)
    blocks: u32,
}

// Four elements.
@if(f32)
alias Four = vec4<u32>;
@if(f16 || bf16)
alias Four = vec2<u32>;

@group(0) @binding(0) var<storage, read> x: array<Four>;
@group(0) @binding(1) var<storage, read> kept_indices: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> kept_values: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@if(gram)
@group(0) @binding(4) var<storage, read> features: array<vec4<u32>>;
@if(gram)
@group(0) @binding(5) var<storage, read_write> gram: array<f32>;
@if(gram)
@group(0) @binding(6) var<uniform> params: Params;
@else
@group(0) @binding(4) var<uniform> params: Params;

@if(threads_512)
const THREADS = 512u;
@else
const THREADS = 256u;
// Neurons of a segment.
@if(long_segments)
const NEURONS = 3u * THREADS;
@else
const NEURONS = 2u * THREADS;
// Groups of tokens. A group has a pair of tokens of f32, or four of f16 or bf16, in two words of each neuron.
const GROUPS = 4u;
@if(f32)
const GROUP_TOKENS = 2u;
@if(f16 || bf16)
const GROUP_TOKENS = 4u;
const TOKENS = GROUP_TOKENS * GROUPS;
// Features count as tokens of f32.
@if(gram)
const PAIR_TOKENS = 2u * GROUPS;

// What the groups have of each neuron.
var<workgroup> segment: array<vec2<u32>, NEURONS * GROUPS>;

// Where the neuron at a place of the segment is staged. It spreads the writes of adjacent threads over the memory banks.
@if(long_segments)
fn slot(place: u32) -> u32 {
    return (place ^ (place / 8u % 8u)) * GROUPS;
}
@else
fn slot(place: u32) -> u32 {
    return ((place ^ (place / 8u)) % NEURONS) * GROUPS;
}

// The same of a neuron that may lie in another segment. It does not count, and gets any place of this one.
@if(long_segments)
fn any_slot(place: u32) -> u32 {
    return slot(min(place, NEURONS - 1u));
}
@else
fn any_slot(place: u32) -> u32 {
    return slot(place);
}

// Stages four neurons from the one at place `first`, which lie in the rows of a pair of tokens.
fn stage_pair(row: vec4<u32>, next: vec4<u32>, first: u32, group: u32) {
    segment[slot(first) + group] = vec2(row.x, next.x);
    segment[slot(first + 1u) + group] = vec2(row.y, next.y);
    segment[slot(first + 2u) + group] = vec2(row.z, next.z);
    segment[slot(first + 3u) + group] = vec2(row.w, next.w);
}

// The same for four tokens.
@if(f16 || bf16)
fn stage_four(rows: array<Four, 4>, first: u32, group: u32) {
    stage_halves(first, group, vec2(rows[0].x, rows[2].x), vec2(rows[1].x, rows[3].x));
    stage_halves(first + 2u, group, vec2(rows[0].y, rows[2].y), vec2(rows[1].y, rows[3].y));
}

// Stages the lower and the upper halves of the words of the tokens 0, 2 and 1, 3. These are two neurons.
@if(f16 || bf16)
fn stage_halves(first: u32, group: u32, even: vec2<u32>, odd: vec2<u32>) {
    segment[slot(first) + group] = (even & vec2(0xffffu)) | (odd << vec2(16u));
    segment[slot(first + 1u) + group] = (even >> vec2(16u)) | (odd & vec2(0xffff0000u));
}

// Where the rows of a group begin, in vectors of four elements. Copies of the last row stand in for absent ones. Nothing is written
// for them.
fn rows_of(first: u32, count: u32, row_fours: u32) -> array<u32, 4> {
    var rows: array<u32, 4>;
    for (var t = 0u; t < 4u; t++) {
        rows[t] = min(first + t, count - 1u) * row_fours;
    }
    return rows;
}

// Stages a thread's four neurons of a group of tokens.
@if(f32)
fn stage_tokens(rows: array<u32, 4>, four: u32, first: u32, group: u32) {
    let at = params.first / 4u + four;
    stage_pair(x[rows[0] + at], x[rows[1] + at], first, group);
}
@if(f16 || bf16)
fn stage_tokens(rows: array<u32, 4>, four: u32, first: u32, group: u32) {
    let at = params.first / 4u + four;
    stage_four(array(x[rows[0] + at], x[rows[1] + at], x[rows[2] + at], x[rows[3] + at]), first, group);
}

// The same of features.
@if(gram)
fn stage_features(rows: array<u32, 4>, four: u32, first: u32, group: u32) {
    stage_pair(features[rows[0] + four], features[rows[1] + four], first, group);
}

// Adds an entry's share of all pairs of tokens.
fn add_to_pairs(sums: ptr<function, array<vec4<f32>, GROUPS>>, place: u32, weight: f32) {
    let at = any_slot(place);
    for (var g = 0u; g < GROUPS; g++) {
        let pair = bitcast<vec2<f32>>(segment[at + g]);
        (*sums)[g].x += weight * pair.x;
        (*sums)[g].y += weight * pair.y;
    }
}

// Adds an entry's share of all fours of tokens.
@if(f16 || bf16)
fn add_to_fours(sums: ptr<function, array<vec4<f32>, GROUPS>>, place: u32, weight: f32) {
    let at = any_slot(place);
    for (var g = 0u; g < GROUPS; g++) {
        (*sums)[g] += weight * quad(vec4(segment[at + g], 0u, 0u), 0u);
    }
}

// Adds four entries' shares.
fn add_all_to_pairs(sums: ptr<function, array<vec4<f32>, GROUPS>>, places: vec4<u32>, weights: vec4<f32>) {
    add_to_pairs(sums, places.x, weights.x);
    add_to_pairs(sums, places.y, weights.y);
    add_to_pairs(sums, places.z, weights.z);
    add_to_pairs(sums, places.w, weights.w);
}
@if(f16 || bf16)
fn add_all_to_fours(sums: ptr<function, array<vec4<f32>, GROUPS>>, places: vec4<u32>, weights: vec4<f32>) {
    add_to_fours(sums, places.x, weights.x);
    add_to_fours(sums, places.y, weights.y);
    add_to_fours(sums, places.z, weights.z);
    add_to_fours(sums, places.w, weights.w);
}

// What a workgroup goes through: rows of the activations or of the features.
struct Block {
    is_gram: bool,
    // The first row, the rows of a group, and the end of all rows.
    first: u32,
    group_rows: u32,
    end: u32,
    // Elements from a row to the next.
    stride: u32,
}

@if(gram)
fn block_of(number: u32) -> Block {
    let before = (params.rows + TOKENS - 1u) / TOKENS;
    let is_gram = number >= before;
    return Block(
        is_gram,
        select(number * TOKENS, (number - before) * PAIR_TOKENS, is_gram),
        select(GROUP_TOKENS, 2u, is_gram),
        select(params.rows, params.rank, is_gram),
        select(params.stride, params.feature_stride, is_gram),
    );
}
@else
fn block_of(number: u32) -> Block {
    return Block(false, number * TOKENS, GROUP_TOKENS, params.rows, params.stride);
}

// Direct3D's older compiler wants no sum here, for it takes the loop over blocks for a danger to barriers then.
@if(gram)
fn is_block(number: u32) -> bool {
    return number < params.blocks;
}
@else
fn is_block(number: u32) -> bool {
    return number * TOKENS < params.rows;
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let feature = workgroup.x * THREADS + thread;
    // Threads beyond the last feature help with staging alone.
    let first_entry = min(feature, params.rank - 1u) * params.kept;
    let last_entries = (first_entry + params.kept - 1u) / 4u;
    for (var number = workgroup.y; is_block(number); number += workgroups.y) {
        let block = block_of(number);
        var sums: array<vec4<f32>, GROUPS>;
        for (var g = 0u; g < GROUPS; g++) {
            sums[g] = vec4<f32>();
        }
        let group = thread % GROUPS;
        let rows = rows_of(block.first + group * block.group_rows, block.end, block.stride / 4u);
        // The entries of a feature are ascending, so all entries before these four lie in earlier segments.
        var entries = first_entry / 4u;
        for (var first = 0u; first < block.stride; first += NEURONS) {
            let fours = min(NEURONS, block.stride - first) / 4u;
            for (var at = thread; at < fours * GROUPS; at += THREADS) {
                let four = at / GROUPS;
                @if(gram) {
                    if block.is_gram {
                        stage_features(rows, first / 4u + four, 4u * four, group);
                    } else {
                        stage_tokens(rows, first / 4u + four, 4u * four, group);
                    }
                }
                @else {
                    stage_tokens(rows, first / 4u + four, 4u * four, group);
                }
            }
            workgroupBarrier();
            var is_more = feature < params.rank;
            while goes_on(is_more) {
                if is_more {
                    // Some of the four may belong to another segment or another feature. These count nothing.
                    let neurons = kept_indices[entries];
                    let places = neurons - vec4(first);
                    let numbers = vec4(4u * entries - first_entry) + vec4(0u, 1u, 2u, 3u);
                    let count = (places < vec4(NEURONS)) & (numbers < vec4(params.kept));
                    let weights = select(vec4<f32>(), kept_values[entries], count);
                    @if(f32) {
                        add_all_to_pairs(&sums, places, weights);
                    }
                    @else {
                        if block.is_gram {
                            add_all_to_pairs(&sums, places, weights);
                        } else {
                            add_all_to_fours(&sums, places, weights);
                        }
                    }
                    // If the last of the four belongs to a later segment, so do all that follow.
                    is_more = (entries < last_entries) & (neurons.w < first + NEURONS);
                    entries += u32(is_more);
                }
            }
            workgroupBarrier();
        }
        for (var t = 0u; t < TOKENS; t++) {
            let row = block.first + t;
            if !block.is_gram && row < params.rows && feature < params.rank {
                out[row * params.out_stride + feature] = params.scale * sums[t / GROUP_TOKENS][t % GROUP_TOKENS];
            }
        }
        @if(gram) {
            for (var t = 0u; t < PAIR_TOKENS; t++) {
                let row = block.first + t;
                if block.is_gram && row < params.rank && feature < params.rank {
                    gram[row * params.gram_stride + feature] = sums[t / 2u][t % 2u];
                }
            }
        }
    }
}
