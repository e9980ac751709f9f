// Inner product of two matrices with zeros in their padding, <A, B> = sum_ij a_ij b_ij, in 256 partial sums.
// Each partial sum is a pair (high, low) whose sum is the value, because a loss must resolve changes below the precision
// of one f32.

import package::shared::compensated_sum::{Pairs, all_as_rounded, all_plus, plus_pair, total};

const THREADS = 256u;
const WORKGROUPS = 256u;

struct Params {
    count: u32,
    accumulate: u32,
    zero: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> sums: array<vec2<f32>, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    var pairs = Pairs();
    for (var v = workgroup.x * THREADS + thread; v < params.count; v += WORKGROUPS * THREADS) {
        pairs = all_plus(pairs, all_as_rounded(a[v] * b[v]));
    }
    sums[thread] = total(pairs);
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            sums[thread] = plus_pair(sums[thread], sums[thread + half]);
        }
    }
    if thread == 0u {
        var sum = sums[0];
        if params.accumulate != 0u {
            sum = plus_pair(vec2(partials[2u * workgroup.x], partials[2u * workgroup.x + 1u]), sum);
        }
        partials[2u * workgroup.x] = sum.x;
        partials[2u * workgroup.x + 1u] = sum.y;
    }
}
