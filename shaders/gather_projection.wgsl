// out_ik = scale · Σⱼ kept_values[k, j] · x[i, kept_indices[k, j]], for few tokens.
//
// x: rows × … elements, of which only the kept ones are read. kept_indices, kept_values: rank × kept. out: rows × rank f32.
// A workgroup handles 16 tokens of one feature, with 16 lanes for each token. Dispatch (⌈rows/16⌉, rank, 1). With fewer
// workgroups in x it loops.

import package::shared::elements::{PER_WORD, element};

struct Params {
    rows: u32,
    stride: u32,
    rank: u32,
    kept: u32,
    out_stride: u32,
    first: u32,
    scale: f32,
}

// Words rather than vectors, because single elements are read.
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> kept_indices: array<u32>;
@group(0) @binding(2) var<storage, read> kept_values: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

const TOKENS = 16u;
const LANES = 16u;

var<workgroup> sums: array<f32, TOKENS * LANES>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let feature = workgroup.y;
    let lane = thread % LANES;
    let first_kept = feature * params.kept;
    for (var block = workgroup.x; block * TOKENS < params.rows; block += workgroups.x) {
        let token = block * TOKENS + thread / LANES;
        var sum = 0.0;
        if token < params.rows {
            let start = params.first / PER_WORD + token * (params.stride / PER_WORD);
            for (var j = lane; j < params.kept; j += LANES) {
                let column = kept_indices[first_kept + j];
                let value = element(x[start + column / PER_WORD], column % PER_WORD);
                sum = fma(kept_values[first_kept + j], value, sum);
            }
        }
        sums[thread] = sum;
        for (var width = LANES / 2u; width > 0u; width /= 2u) {
            workgroupBarrier();
            if lane < width {
                sums[thread] += sums[thread + width];
            }
        }
        if lane == 0u && token < params.rows {
            out[token * params.out_stride + feature] = params.scale * sums[thread];
        }
        // The next block writes what this one reads.
        workgroupBarrier();
    }
}
