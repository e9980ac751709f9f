// out[i] (+)= Σₚ partials[p · count + i], with p ascending, so that a run repeats to the bit.
//
// partials: parts × count vec4<f32>. out: count vec4<f32>. Dispatch min(⌈count/256⌉, 65535) workgroups, looping.

struct Params {
    count: u32,
    parts: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;

const THREADS = 256u;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
    for (var i = id.x; i < params.count; i += workgroups.x * THREADS) {
        var sum = vec4<f32>();
        if params.accumulate != 0u {
            sum = out[i];
        }
        for (var part = 0u; part < params.parts; part++) {
            sum += partials[part * params.count + i];
        }
        out[i] = sum;
    }
}
