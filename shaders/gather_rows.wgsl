// out[r, j] = scale · x[indices[r] - first_row, j] for each r whose token lies in this panel. Other rows keep their
// values.
//
// x: rows × columns elements, the tokens first_row to first_row + rows - 1 of the whole matrix. indices: count u32.
// out: count × columns f32. One workgroup for each row of out, looping.

import package::shared::elements::{ELEMENTS, QUADS, masked, quad};

struct Params {
    first_row: u32,
    rows: u32,
    columns: u32,
    stride: u32,
    count: u32,
    out_stride: u32,
    scale: f32,
    first: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

const THREADS = 64u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let vectors = (params.columns + ELEMENTS - 1u) / ELEMENTS;
    for (var r = workgroup.x; r < params.count; r += workgroups.x) {
        // The numbers of tokens before the panel wrap around to large numbers.
        let row = indices[r] - params.first_row;
        if row < params.rows {
            let start = params.first / ELEMENTS + row * (params.stride / ELEMENTS);
            for (var vector = thread; vector < vectors; vector += THREADS) {
                let words = masked(x[start + vector], vector * ELEMENTS, params.columns);
                for (var q = 0u; q < QUADS; q++) {
                    // The last vector may reach beyond the padded row of out.
                    if vector * ELEMENTS + 4u * q < params.columns {
                        out[r * (params.out_stride / 4u) + vector * QUADS + q] = params.scale * quad(words, q);
                    }
                }
            }
        }
    }
}
