// out[i, :] = x[i, :], in the type in which x is stored. Rows of x may be far apart. Rows of out are next to each
// other.
//
// x: rows × columns elements. Rows are `stride` elements apart, and the first one begins at element `first`. out: rows
// × columns elements of the same type, whose rows are `out_stride` elements apart. The padding of x may be copied too.
// Each workgroup copies one row, then the row `workgroups` further on, and so on.

import package::shared::elements::{ELEMENTS};

struct Params {
    rows: u32,
    columns: u32,
    first: u32,
    stride: u32,
    out_stride: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<u32>>;
@group(0) @binding(2) var<uniform> params: Params;

const THREADS = 64u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let vectors = (params.columns + ELEMENTS - 1u) / ELEMENTS;
    for (var row = workgroup.x; row < params.rows; row += workgroups.x) {
        let from_row = (params.first + row * params.stride) / ELEMENTS;
        let to_row = row * (params.out_stride / ELEMENTS);
        for (var vector = thread; vector < vectors; vector += THREADS) {
            out[to_row + vector] = x[from_row + vector];
        }
    }
}
