// partials[w] = max |x_ij| over the rows i = w, w + 256, …, as the bits of an f32.
//
// x: rows × columns elements. partials: 256 words. Dispatch (256, 1, 1).
// Magnitudes are compared as integers, because float comparisons lose NaN and may treat infinity as impossible.

import package::shared::elements::{ELEMENTS, key_bits, magnitude_key, masked};

struct Params {
    rows: u32,
    columns: u32,
    stride: u32,
    accumulate: u32,
    first: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> partials: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

const THREADS = 256u;
const PARTIALS = 256u;

var<workgroup> largest: atomic<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    if thread == 0u {
        atomicStore(&largest, 0u);
    }
    workgroupBarrier();
    let vectors = (params.columns + ELEMENTS - 1u) / ELEMENTS;
    var key = 0u;
    for (var row = workgroup.x; row < params.rows; row += PARTIALS) {
        let start = params.first / ELEMENTS + row * (params.stride / ELEMENTS);
        for (var vector = thread; vector < vectors; vector += THREADS) {
            key = max(key, magnitude_key(masked(x[start + vector], vector * ELEMENTS, params.columns)));
        }
    }
    // A maximum is the same in any order, so runs repeat in spite of the atomic.
    atomicMax(&largest, key);
    workgroupBarrier();
    if thread == 0u {
        let bits = key_bits(atomicLoad(&largest));
        let old = select(0u, partials[workgroup.x], params.accumulate != 0u);
        partials[workgroup.x] = max(old, bits);
    }
}
