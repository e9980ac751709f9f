// A tile of a dense product, summed in registers: out_rc = Σₜ left_tr right_tc over the depth t.
//
// A workgroup of 256 threads computes TILE × TILE results: 64 × 64, or 128 × 128 with the feature `wide`. A stage of
// both operands lies in workgroup memory, one depth after the other. A thread computes quads of rows times quads of
// columns, which are SIDE quads apart.

@if(wide)
const TILE = 128u;
@else
const TILE = 64u;
const TILE_QUADS = TILE / 4u;

const THREADS = 256u;
// Threads side by side along the columns. There are as many along the rows.
const SIDE = 16u;
// Depth of a stage, as far as 16 KiB allow.
const DEPTH = 2048u / TILE;
// Depth over which one f32 sum runs, a multiple of DEPTH. Then it is added to the result in memory. One sum over
// thousands of products would lose digits, and registers for a second level of sums would cost more than this traffic.
const CHAIN = 256u;

var<workgroup> left_tile: array<vec4<f32>, DEPTH * TILE_QUADS>;
var<workgroup> right_tile: array<vec4<f32>, DEPTH * TILE_QUADS>;

// The sums of a thread. Column r of a block belongs to row r of a quad of rows, and holds a quad of columns.
struct Sums {
    near: mat4x4<f32>,
    @if(wide)
    right: mat4x4<f32>,
    @if(wide)
    below: mat4x4<f32>,
    @if(wide)
    across: mat4x4<f32>,
}

// Where a thread reads within a row of the tile.
struct Read {
    left: u32,
    right: u32,
}

fn read_of(thread: u32) -> Read {
    return Read(thread / SIDE, thread % SIDE);
}

fn outer(sums: mat4x4<f32>, left: vec4<f32>, right: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(
        fma(vec4(left.x), right, sums[0]),
        fma(vec4(left.y), right, sums[1]),
        fma(vec4(left.z), right, sums[2]),
        fma(vec4(left.w), right, sums[3]),
    );
}

// Adds the products at one depth of the stage. What is read last is used first, so that a single wait serves all reads.
fn multiply(sums: ptr<function, Sums>, read: Read, depth: u32) {
    let left_at = depth * TILE_QUADS + read.left;
    let right_at = depth * TILE_QUADS + read.right;
    let right = right_tile[right_at];
    let left = left_tile[left_at];
    @if(wide) {
        let far_right = right_tile[right_at + SIDE];
        let far_left = left_tile[left_at + SIDE];
        (*sums).across = outer((*sums).across, far_left, far_right);
        (*sums).below = outer((*sums).below, far_left, right);
        (*sums).right = outer((*sums).right, left, far_right);
    }
    (*sums).near = outer((*sums).near, left, right);
}

// Adds the products of half a stage, from `first` on.
fn multiply_half(sums: ptr<function, Sums>, read: Read, first: u32) {
    for (var depth = first; depth < first + DEPTH / 2u; depth += 8u) {
        multiply(sums, read, depth);
        multiply(sums, read, depth + 1u);
        multiply(sums, read, depth + 2u);
        multiply(sums, read, depth + 3u);
        multiply(sums, read, depth + 4u);
        multiply(sums, read, depth + 5u);
        multiply(sums, read, depth + 6u);
        multiply(sums, read, depth + 7u);
    }
}
