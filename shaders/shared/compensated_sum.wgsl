// Sums that keep what one f32 rounds away: pairs (high, low) whose sum is the value.
//
// An addition adds its own rounding error to `low` (Fast2Sum: Dekker 1971; Knuth, The Art of Computer Programming 2,
// 4.2.2). Compilers may reorder additions as if they were exact, which makes the error zero. No reordering goes past an
// XOR of the bits, and compilers do not know that the number in it is zero.
//
// The shader that imports this declares `params` with `zero`, which is 0.

// Four pairs.
struct Pairs {
    high: vec4<f32>,
    low: vec4<f32>,
}

// The value as it was rounded.
fn as_rounded(value: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(value) ^ params.zero);
}

fn all_as_rounded(values: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(values) ^ vec4(params.zero));
}

// The pair plus a value, exact up to the rounding of low.
fn plus(pair: vec2<f32>, value: f32) -> vec2<f32> {
    let is_larger = abs(value) > abs(pair.x);
    let larger = select(pair.x, value, is_larger);
    let smaller = select(value, pair.x, is_larger);
    let high = as_rounded(larger + smaller);
    let error = as_rounded(smaller - as_rounded(high - larger));
    return vec2(high, pair.y + error);
}

// The sum of two pairs, exact up to the rounding of low.
fn plus_pair(pair: vec2<f32>, other: vec2<f32>) -> vec2<f32> {
    return plus(vec2(pair.x, pair.y + other.y), other.x);
}

// Each pair plus its value.
fn all_plus(pairs: Pairs, values: vec4<f32>) -> Pairs {
    let are_larger = abs(values) > abs(pairs.high);
    let larger = select(pairs.high, values, are_larger);
    let smaller = select(values, pairs.high, are_larger);
    let high = all_as_rounded(larger + smaller);
    let error = all_as_rounded(smaller - all_as_rounded(high - larger));
    return Pairs(high, pairs.low + error);
}

// The sum of four pairs.
fn total(pairs: Pairs) -> vec2<f32> {
    let low = (pairs.low.x + pairs.low.y) + (pairs.low.z + pairs.low.w);
    let half = plus(vec2(pairs.high.x, low), pairs.high.y);
    return plus(plus(half, pairs.high.z), pairs.high.w);
}
