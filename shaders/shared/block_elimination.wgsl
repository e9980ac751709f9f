// Elimination in blocks of 32 places, of a matrix M [K, K] on 64 items at a time: tokens, or columns of a solution.
//
// A thread has four places of a block and some of the items in registers: thread % 8 says which places, thread / 8 which
// items. These are four items of 64, or two where registers are few. What other places take from them is a product, of a
// tile of M and of the items' values at 32 places, both in workgroup memory. What is solved of the block itself is handed
// on four places at a time.

const BLOCK = 32u;
const BLOCK_VECTORS = BLOCK / 4u;
const ITEMS = 64u;
@if(four_items)
const ITEMS_OF_THREAD = 4u;
@else
const ITEMS_OF_THREAD = 2u;
// What belongs to the items of a thread.
@if(four_items)
alias Items = vec4<f32>;
@else
alias Items = vec2<f32>;
// Four places of the items of a thread, a column for each place.
@if(four_items)
alias Places = mat4x4<f32>;
@else
alias Places = mat4x2<f32>;
const ITEM_GROUPS = ITEMS / ITEMS_OF_THREAD;
const THREADS = BLOCK_VECTORS * ITEM_GROUPS;

// 32 rows of M, 32 columns of each.
var<workgroup> matrix_tile: array<vec4<f32>, BLOCK * BLOCK_VECTORS>;
// The items' values at 32 places.
var<workgroup> item_tile: array<Items, BLOCK * ITEM_GROUPS>;

// Where the values of a thread's items begin in the tile, for four places. The next place is ITEM_GROUPS further. Threads
// with other places write to other memory banks.
fn items_at(four: u32, group: u32) -> u32 {
    return 4u * four * ITEM_GROUPS + (group ^ four);
}

fn put_items(four: u32, group: u32, values: Places) {
    let at = items_at(four, group);
    item_tile[at] = values[0];
    item_tile[at + ITEM_GROUPS] = values[1];
    item_tile[at + 2u * ITEM_GROUPS] = values[2];
    item_tile[at + 3u * ITEM_GROUPS] = values[3];
}

// What a thread contributes to the tile of M: a vector of a row, and the same vector of the row that is THREADS / 8 further.
struct MatrixRows {
    near: vec4<f32>,
    @if(four_items)
    far: vec4<f32>,
}

fn put_matrix(rows: MatrixRows, thread: u32) {
    matrix_tile[thread] = rows.near;
    @if(four_items) {
        matrix_tile[thread + THREADS] = rows.far;
    }
}

// M for four rows of the tile and four of its columns. The result has a column for each of the rows.
fn square(rows: u32, columns: u32) -> mat4x4<f32> {
    let at = 4u * rows * BLOCK_VECTORS + columns;
    return mat4x4(
        matrix_tile[at], matrix_tile[at + BLOCK_VECTORS],
        matrix_tile[at + 2u * BLOCK_VECTORS], matrix_tile[at + 3u * BLOCK_VECTORS],
    );
}

// What one place leaves of four others, by its weights for them.
fn rest_of(rest: Places, weights: vec4<f32>, values: Items) -> Places {
    return Places(
        rest[0] - weights.x * values, rest[1] - weights.y * values,
        rest[2] - weights.z * values, rest[3] - weights.w * values,
    );
}

// Subtracts what four places of the tiles take from a thread's four `places`.
fn subtract(rest: ptr<function, Places>, places: u32, group: u32, four: u32) {
    let row = 4u * four * BLOCK_VECTORS + places;
    let at = items_at(four, group);
    *rest = rest_of(*rest, matrix_tile[row], item_tile[at]);
    *rest = rest_of(*rest, matrix_tile[row + BLOCK_VECTORS], item_tile[at + ITEM_GROUPS]);
    *rest = rest_of(*rest, matrix_tile[row + 2u * BLOCK_VECTORS], item_tile[at + 2u * ITEM_GROUPS]);
    *rest = rest_of(*rest, matrix_tile[row + 3u * BLOCK_VECTORS], item_tile[at + 3u * ITEM_GROUPS]);
}

// Subtracts what all 32 places take. Without a loop, because software devices end a shader after 65,535 iterations of its
// loops.
fn subtract_all(rest: ptr<function, Places>, places: u32, group: u32) {
    subtract(rest, places, group, 0u);
    subtract(rest, places, group, 1u);
    subtract(rest, places, group, 2u);
    subtract(rest, places, group, 3u);
    subtract(rest, places, group, 4u);
    subtract(rest, places, group, 5u);
    subtract(rest, places, group, 6u);
    subtract(rest, places, group, 7u);
}
