// out[i] (+)= Σₚ partials[p · count + i], with p ascending, so that a run repeats to the bit. With the feature `pair`, two
// such sums are taken. The counts of the second begin where those of the first end.
//
// partials: parts × count vec4<f32>. out: count vec4<f32>. Dispatch min(⌈count/256⌉, 65535) workgroups, looping.

struct Params {
    count: u32,
    parts: u32,
    accumulate: u32,
    @if(pair)
    second_count: u32,
    @if(pair)
    second_parts: u32,
    @if(pair)
    second_accumulate: u32,
}

@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
@if(pair)
@group(0) @binding(2) var<storage, read> second_partials: array<vec4<f32>>;
@if(pair)
@group(0) @binding(3) var<storage, read_write> second_out: array<vec4<f32>>;
@if(pair)
@group(0) @binding(4) var<uniform> params: Params;
@if(single)
@group(0) @binding(2) var<uniform> params: Params;

const THREADS = 256u;

fn add_up(i: u32) {
    var sum = vec4<f32>();
    if params.accumulate != 0u {
        sum = out[i];
    }
    for (var part = 0u; part < params.parts; part++) {
        sum += partials[part * params.count + i];
    }
    out[i] = sum;
}

@if(pair)
fn add_up_second(i: u32) {
    var sum = vec4<f32>();
    if params.second_accumulate != 0u {
        sum = second_out[i];
    }
    for (var part = 0u; part < params.second_parts; part++) {
        sum += second_partials[part * params.second_count + i];
    }
    second_out[i] = sum;
}

// The first count of a thread if `before` counts come before. The first threads go on where the last ones had nothing
// left to do.
@if(pair)
fn first_after(before: u32, thread: u32, threads: u32) -> u32 {
    return (thread + threads - before % threads) % threads;
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
    let threads = workgroups.x * THREADS;
    for (var i = id.x; i < params.count; i += threads) {
        add_up(i);
    }
    @if(pair) {
        for (var i = first_after(params.count, id.x, threads); i < params.second_count; i += threads) {
            add_up_second(i);
        }
    }
}
