// out_ik = scale · Σⱼ kept_values[k, j] · x[i, kept_indices[k, j]], for many tokens.
//
// x: rows × stride elements. kept_indices (ascending in each feature), kept_values: rank × kept. out: rows × rank f32.
// A workgroup handles 128 features, one for each thread, and as many tokens as elements fit in a vec4<u32>. It stages
// one segment of 1,024 neurons after the other. The loads are coalesced, and the stage is transposed, so that a
// vec4<u32> holds one neuron of all its tokens. A thread then goes through the neurons of the segment that its feature
// keeps. So x is read once for 128 features.
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
@group(0) @binding(1) var<storage, read> kept_indices: array<u32>;
@group(0) @binding(2) var<storage, read> kept_values: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

const THREADS = 128u;
const NEURONS = 1024u;
// Entries of a feature that are loaded at a time, which hides their latency.
const BATCH = 4u;

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

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let feature = workgroup.x * THREADS + thread;
    let row_vectors = params.stride / ELEMENTS;
    // Threads beyond the last feature help with staging, and have no entries.
    let entries = select(0u, params.kept, feature < params.rank);
    let first_entry = min(feature, params.rank - 1u) * params.kept;
    for (var block = workgroup.y; block * ELEMENTS < params.rows; block += workgroups.y) {
        let first_token = block * ELEMENTS;
        var sums: array<vec4<f32>, QUADS>;
        for (var q = 0u; q < QUADS; q++) {
            sums[q] = vec4<f32>();
        }
        // The entries of a feature are ascending, so all entries before this one lie in earlier segments.
        var entry = 0u;
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
            let end = first + NEURONS;
            var is_within = entry < entries;
            while is_within {
                var neurons: array<u32, BATCH>;
                var weights: array<f32, BATCH>;
                for (var b = 0u; b < BATCH; b++) {
                    let at = first_entry + min(entry + b, params.kept - 1u);
                    neurons[b] = kept_indices[at];
                    weights[b] = kept_values[at];
                }
                var neuron = first;
                var count = 0u;
                for (var b = 0u; b < BATCH; b++) {
                    is_within = entry + b < entries && neurons[b] < end;
                    if is_within {
                        neuron = neurons[b];
                        count++;
                        let words = segment[slot(neuron - first)];
                        for (var q = 0u; q < QUADS; q++) {
                            sums[q] += weights[b] * quad(words, q);
                        }
                    }
                }
                entry += count;
            }
            workgroupBarrier();
        }
        for (var t = 0u; t < ELEMENTS; t++) {
            if entries > 0u && first_token + t < params.rows {
                out[(first_token + t) * params.out_stride + feature] = params.scale * sums[t / 4u][t % 4u];
            }
        }
    }
}
