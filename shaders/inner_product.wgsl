// Inner product of two matrices with zeros in their padding, <A, B> = sum_ij a_ij b_ij, in 256 partial sums.
// Each partial sum is a pair (hi, lo) whose sum is the value, because a loss must resolve changes below the precision
// of one f32.
// Additions are exact by TwoSum (Knuth, The Art of Computer Programming 2, 4.2.2): hi + lo = old hi + x without an
// error.

const THREADS = 256u;
const WORKGROUPS = 256u;

struct Params {
    count: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> sums: array<vec2<f32>, THREADS>;

// The pair plus a value, exact up to the rounding of lo.
fn two_sum(pair: vec2<f32>, value: f32) -> vec2<f32> {
    let sum = pair.x + value;
    let added = sum - pair.x;
    return vec2(sum, pair.y + ((pair.x - (sum - added)) + (value - added)));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    // Four pairs, one in each component of the vectors.
    var high = vec4<f32>();
    var low = vec4<f32>();
    for (var v = workgroup.x * THREADS + thread; v < params.count; v += WORKGROUPS * THREADS) {
        let value = a[v] * b[v];
        let sum = high + value;
        let added = sum - high;
        low += (high - (sum - added)) + (value - added);
        high = sum;
    }
    var pair = two_sum(vec2(high.x, (low.x + low.y) + (low.z + low.w)), high.y);
    pair = two_sum(two_sum(pair, high.z), high.w);
    sums[thread] = pair;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            let other = sums[thread + half];
            sums[thread] = two_sum(sums[thread] + vec2(0.0, other.y), other.x);
        }
    }
    if thread == 0u {
        var total = sums[0];
        if params.accumulate != 0u {
            let old = vec2(partials[2u * workgroup.x], partials[2u * workgroup.x + 1u]);
            total = two_sum(old + vec2(0.0, total.y), total.x);
        }
        partials[2u * workgroup.x] = total.x;
        partials[2u * workgroup.x + 1u] = total.y;
    }
}
