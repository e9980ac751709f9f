// out_ik = scale · Σⱼ kept_values[k, j] · x[i, kept_indices[k, j]], for many tokens.
//
// x: rows × stride elements. kept_indices (ascending in each feature), kept_values: rank × kept. out: rows × rank f32.
// A workgroup handles 128 features, one for each thread, and as many tokens as elements fit in a vec4<u32>. It stages
// one segment of 1,024 neurons after the other. The loads are coalesced, and the stage is transposed, so that a
// vec4<u32> holds one neuron of all its tokens. A thread then goes through the neurons of the segment that its feature
// keeps. So x is read once for 128 features. The entries of a feature are loaded four at a time, because the threads
// read far apart, and each such load takes as long as 32 loads of neighbours.
// Dispatch (⌈rank/128⌉, ⌈rows/tokens⌉, 1). With fewer workgroups in y it loops.

import package::shared::elements::{ELEMENTS, QUADS, quad};

struct Params {
    rows: u32,
    stride: u32,
    rank: u32,
    kept: u32,
    out_stride: u32,
    first: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> kept_indices: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> kept_values: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

const THREADS = 128u;
const NEURONS = 1024u;

var<workgroup> segment: array<vec4<u32>, NEURONS>;

// Where a neuron of the segment is staged. It spreads the writes of adjacent threads over the memory banks.
fn slot(neuron: u32) -> u32 {
    return neuron ^ ((neuron >> 3u) & 7u);
}

// Stages ELEMENTS neurons from `first`, the same vector of each token's row.
@if(f32)
fn stage(rows: array<vec4<u32>, ELEMENTS>, first: u32) {
    segment[slot(first)] = vec4(rows[0].x, rows[1].x, rows[2].x, rows[3].x);
    segment[slot(first + 1u)] = vec4(rows[0].y, rows[1].y, rows[2].y, rows[3].y);
    segment[slot(first + 2u)] = vec4(rows[0].z, rows[1].z, rows[2].z, rows[3].z);
    segment[slot(first + 3u)] = vec4(rows[0].w, rows[1].w, rows[2].w, rows[3].w);
}
@if(f16 || bf16)
fn stage(rows: array<vec4<u32>, ELEMENTS>, first: u32) {
    stage_two(first, vec4(rows[0].x, rows[2].x, rows[4].x, rows[6].x),
        vec4(rows[1].x, rows[3].x, rows[5].x, rows[7].x));
    stage_two(first + 2u, vec4(rows[0].y, rows[2].y, rows[4].y, rows[6].y),
        vec4(rows[1].y, rows[3].y, rows[5].y, rows[7].y));
    stage_two(first + 4u, vec4(rows[0].z, rows[2].z, rows[4].z, rows[6].z),
        vec4(rows[1].z, rows[3].z, rows[5].z, rows[7].z));
    stage_two(first + 6u, vec4(rows[0].w, rows[2].w, rows[4].w, rows[6].w),
        vec4(rows[1].w, rows[3].w, rows[5].w, rows[7].w));
}

// Stages the lower and the upper halves of the words of the tokens 0, 2, 4, 6 and 1, 3, 5, 7. These are two neurons.
@if(f16 || bf16)
fn stage_two(first: u32, even: vec4<u32>, odd: vec4<u32>) {
    segment[slot(first)] = (even & vec4(0xffffu)) | (odd << vec4(16u));
    segment[slot(first + 1u)] = (even >> vec4(16u)) | (odd & vec4(0xffff0000u));
}

// Adds an entry's share of all tokens.
fn add(sums: ptr<function, array<vec4<f32>, QUADS>>, neuron: u32, weight: f32) {
    let words = segment[slot(neuron)];
    for (var q = 0u; q < QUADS; q++) {
        (*sums)[q] += weight * quad(words, q);
    }
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let feature = workgroup.x * THREADS + thread;
    let row_vectors = params.stride / ELEMENTS;
    // Threads beyond the last feature help with staging, and have no entries.
    let first_entry = min(feature, params.rank - 1u) * params.kept;
    let last_entry = first_entry + select(0u, params.kept, feature < params.rank);
    for (var block = workgroup.y; block * ELEMENTS < params.rows; block += workgroups.y) {
        let first_token = block * ELEMENTS;
        var sums: array<vec4<f32>, QUADS>;
        for (var q = 0u; q < QUADS; q++) {
            sums[q] = vec4<f32>();
        }
        // The entries of a feature are ascending, so all entries before this one lie in earlier segments.
        var entry = first_entry;
        for (var first = 0u; first < params.stride; first += NEURONS) {
            let vectors = min(NEURONS, params.stride - first) / ELEMENTS;
            for (var v = thread; v < vectors; v += THREADS) {
                var rows: array<vec4<u32>, ELEMENTS>;
                for (var t = 0u; t < ELEMENTS; t++) {
                    // Copies of the last token stand in for absent ones. Nothing is written for them.
                    let token = min(first_token + t, params.rows - 1u);
                    rows[t] = x[params.first / ELEMENTS + token * row_vectors + first / ELEMENTS + v];
                }
                stage(rows, v * ELEMENTS);
            }
            workgroupBarrier();
            var is_within = entry < last_entry;
            while is_within {
                // The four may begin before the feature, and end in a later segment or feature.
                let neurons = kept_indices[entry / 4u];
                let weights = kept_values[entry / 4u];
                let numbers = vec4(entry / 4u * 4u) + vec4(0u, 1u, 2u, 3u);
                let are_within =
                    (numbers >= vec4(entry)) & (numbers < vec4(last_entry)) & (neurons < vec4(first + NEURONS));
                // Others count nothing. Their neuron is any of the segment.
                let slots = select(vec4<u32>(), neurons - vec4(first), are_within);
                let shares = select(vec4<f32>(), weights, are_within);
                add(&sums, slots.x, shares.x);
                add(&sums, slots.y, shares.y);
                add(&sums, slots.z, shares.z);
                add(&sums, slots.w, shares.w);
                let ones = select(vec4(0u), vec4(1u), are_within);
                entry += ones.x + ones.y + ones.z + ones.w;
                // If the last of the four belongs to a later segment, so do all that follow.
                is_within = are_within.w && entry < last_entry;
            }
            workgroupBarrier();
        }
        for (var t = 0u; t < ELEMENTS; t++) {
            if feature < params.rank && first_token + t < params.rows {
                out[(first_token + t) * params.out_stride + feature] = params.scale * sums[t / 4u][t % 4u];
            }
        }
    }
}
