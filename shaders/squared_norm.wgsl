// norms[i] = Σⱼ (scale · x_ij)²
//
// x: rows × columns elements. norms: rows f32. One workgroup for each row, looping if there are more rows than
// workgroups.

import package::shared::elements::{ELEMENTS, QUADS, masked, quad};

struct Params {
    rows: u32,
    columns: u32,
    stride: u32,
    first: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> norms: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

const THREADS = 64u;

var<workgroup> sums: array<f32, THREADS>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let vectors = (params.columns + ELEMENTS - 1u) / ELEMENTS;
    for (var row = workgroup.x; row < params.rows; row += workgroups.x) {
        let start = params.first / ELEMENTS + row * (params.stride / ELEMENTS);
        var squares = vec4<f32>();
        for (var vector = thread; vector < vectors; vector += THREADS) {
            let words = masked(x[start + vector], vector * ELEMENTS, params.columns);
            for (var q = 0u; q < QUADS; q++) {
                // Scaled before squaring, because x² may overflow.
                let values = params.scale * quad(words, q);
                squares = fma(values, values, squares);
            }
        }
        sums[thread] = (squares.x + squares.y) + (squares.z + squares.w);
        for (var width = THREADS / 2u; width > 0u; width /= 2u) {
            workgroupBarrier();
            if thread < width {
                sums[thread] += sums[thread + width];
            }
        }
        if thread == 0u {
            norms[row] = sums[0];
        }
        // The next row overwrites the sums, of which the first thread has just read two.
        workgroupBarrier();
    }
}
