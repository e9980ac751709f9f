// out_ik = scale · Σⱼ kept_values[k, j] · x[i, kept_indices[k, j]], for many tokens.
//
// x: rows × stride elements. kept_indices (ascending in each feature), kept_values: rank × kept. out: rows × rank f32.
// A workgroup handles 256 or 512 features, one for each thread, and 16 tokens (8 of f32). It stages one segment of neurons
// after the other, two for each thread. The loads are coalesced, and the stage is transposed, so that all tokens of a neuron
// are together. A thread then goes through the neurons of the segment that its feature keeps. So x is read once for all features
// of the workgroup. The entries of a feature are loaded four at a time, because the threads read far apart, and each such load
// takes as long as 32 loads of neighbours. A subgroup waits for the feature that keeps most of a segment. In a segment twice as
// long this is not twice as many.
// Dispatch (⌈rank/threads⌉, ⌈rows/tokens⌉, 1). With fewer workgroups in y it loops.

import package::shared::elements::{QUADS, quad};
import package::shared::vote::{goes_on};

struct Params {
    rows: u32,
    stride: u32,
    rank: u32,
    kept: u32,
    out_stride: u32,
    first: u32,
    scale: f32,
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
@group(0) @binding(4) var<uniform> params: Params;

@if(threads_512)
const THREADS = 512u;
@else
const THREADS = 256u;
const NEURONS = 2u * THREADS;
// Groups of four tokens.
const GROUPS = 2u * QUADS;
const TOKENS = 4u * GROUPS;

// What the groups have of each neuron.
var<workgroup> segment: array<Four, NEURONS * GROUPS>;

// Where a neuron of the segment is staged. It spreads the writes of adjacent threads over the memory banks.
fn slot(neuron: u32) -> u32 {
    return ((neuron ^ (neuron / 8u)) % NEURONS) * GROUPS;
}

@if(f32)
fn decoded(four: Four) -> vec4<f32> {
    return quad(four, 0u);
}
@if(f16 || bf16)
fn decoded(four: Four) -> vec4<f32> {
    return quad(vec4(four, 0u, 0u), 0u);
}

// Stages four neurons from the one with number `first`, which lie in the rows of a group of tokens.
@if(f32)
fn stage(rows: array<Four, 4>, first: u32, group: u32) {
    segment[slot(first) + group] = vec4(rows[0].x, rows[1].x, rows[2].x, rows[3].x);
    segment[slot(first + 1u) + group] = vec4(rows[0].y, rows[1].y, rows[2].y, rows[3].y);
    segment[slot(first + 2u) + group] = vec4(rows[0].z, rows[1].z, rows[2].z, rows[3].z);
    segment[slot(first + 3u) + group] = vec4(rows[0].w, rows[1].w, rows[2].w, rows[3].w);
}
@if(f16 || bf16)
fn stage(rows: array<Four, 4>, first: u32, group: u32) {
    stage_two(first, group, vec2(rows[0].x, rows[2].x), vec2(rows[1].x, rows[3].x));
    stage_two(first + 2u, group, vec2(rows[0].y, rows[2].y), vec2(rows[1].y, rows[3].y));
}

// Stages the lower and the upper halves of the words of the tokens 0, 2 and 1, 3. These are two neurons.
@if(f16 || bf16)
fn stage_two(first: u32, group: u32, even: vec2<u32>, odd: vec2<u32>) {
    segment[slot(first) + group] = (even & vec2(0xffffu)) | (odd << vec2(16u));
    segment[slot(first + 1u) + group] = (even >> vec2(16u)) | (odd & vec2(0xffff0000u));
}

// Adds an entry's share of all tokens.
fn add(sums: ptr<function, array<vec4<f32>, GROUPS>>, neuron: u32, weight: f32) {
    let at = slot(neuron);
    for (var g = 0u; g < GROUPS; g++) {
        (*sums)[g] += weight * decoded(segment[at + g]);
    }
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let feature = workgroup.x * THREADS + thread;
    let row_fours = params.stride / 4u;
    // Threads beyond the last feature help with staging alone.
    let first_entry = min(feature, params.rank - 1u) * params.kept;
    let last_entries = (first_entry + params.kept - 1u) / 4u;
    for (var block = workgroup.y; block * TOKENS < params.rows; block += workgroups.y) {
        let first_token = block * TOKENS;
        var sums: array<vec4<f32>, GROUPS>;
        for (var g = 0u; g < GROUPS; g++) {
            sums[g] = vec4<f32>();
        }
        // Where the rows begin of which a thread stages its part. Copies of the last token stand in for absent ones. Nothing is
        // written for them.
        let group = thread % GROUPS;
        var rows: array<u32, 4>;
        for (var t = 0u; t < 4u; t++) {
            rows[t] = min(first_token + 4u * group + t, params.rows - 1u) * row_fours;
        }
        // The entries of a feature are ascending, so all entries before these four lie in earlier segments.
        var entries = first_entry / 4u;
        for (var first = 0u; first < params.stride; first += NEURONS) {
            let fours = min(NEURONS, params.stride - first) / 4u;
            for (var at = thread; at < fours * GROUPS; at += THREADS) {
                let four = (params.first + first) / 4u + at / GROUPS;
                let loaded = array(x[rows[0] + four], x[rows[1] + four], x[rows[2] + four], x[rows[3] + four]);
                stage(loaded, first + at / GROUPS * 4u, group);
            }
            workgroupBarrier();
            var is_more = feature < params.rank;
            while goes_on(is_more) {
                if is_more {
                    // Some of the four may belong to another segment or another feature. These count nothing.
                    let neurons = kept_indices[entries];
                    let places = vec4(4u * entries - first_entry) + vec4(0u, 1u, 2u, 3u);
                    let count = (neurons - vec4(first) < vec4(NEURONS)) & (places < vec4(params.kept));
                    let weights = select(vec4<f32>(), kept_values[entries], count);
                    add(&sums, neurons.x, weights.x);
                    add(&sums, neurons.y, weights.y);
                    add(&sums, neurons.z, weights.z);
                    add(&sums, neurons.w, weights.w);
                    // If the last of the four belongs to a later segment, so do all that follow.
                    is_more = (entries < last_entries) & (neurons.w < first + NEURONS);
                    entries += u32(is_more);
                }
            }
            workgroupBarrier();
        }
        for (var t = 0u; t < TOKENS; t++) {
            if feature < params.rank && first_token + t < params.rows {
                out[(first_token + t) * params.out_stride + feature] = params.scale * sums[t / 4u][t % 4u];
            }
        }
    }
}
