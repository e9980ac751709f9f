// Copies a matrix, or with the feature `pair` two matrices of one shape, if the loss of this iteration is the least so
// far. So the host need not be asked.
// state [4] as `loss` writes it: word 2 says whether this iteration is the best.

const THREADS = 256u;

struct Params {
    count: u32,
}

@group(0) @binding(0) var<storage, read> state: array<u32>;
@group(0) @binding(1) var<storage, read> current: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> best: array<vec4<f32>>;
@if(pair)
@group(0) @binding(3) var<storage, read> second_current: array<vec4<f32>>;
@if(pair)
@group(0) @binding(4) var<storage, read_write> second_best: array<vec4<f32>>;
@if(pair)
@group(0) @binding(5) var<uniform> params: Params;
@else
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
    if state[2] != 0u {
        for (var v = id.x; v < params.count; v += workgroups.x * THREADS) {
            best[v] = current[v];
            @if(pair) {
                second_best[v] = second_current[v];
            }
        }
    }
}
