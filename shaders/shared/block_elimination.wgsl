// Elimination in blocks of 32 places, of a matrix M [K, K] on 32 items at a time: tokens, or columns of a solution.
//
// What other blocks leave of a block is a product: a thread takes four places of two items. A tile of M and the items'
// values at 32 places are in workgroup memory.

const BLOCK = 32u;
const BLOCK_VECTORS = BLOCK / 4u;
const ITEMS = 32u;
// A thread's second item is this far behind its first.
const HALF = ITEMS / 2u;
// One vector of padding for each item spreads the threads over the memory banks.
const ITEM_VECTORS = BLOCK_VECTORS + 1u;

// 32 rows of M, 32 columns of each.
var<workgroup> matrix_tile: array<vec4<f32>, BLOCK * BLOCK_VECTORS>;
// The items' values. A vector holds those of an item at four places.
var<workgroup> item_tile: array<vec4<f32>, ITEMS * ITEM_VECTORS>;

// What is left for a thread: four places of two items.
struct Residuals {
    first: vec4<f32>,
    second: vec4<f32>,
}

// M for four rows of the tile and four of its columns. The result has a column for each of the rows.
fn square(rows: u32, columns: u32) -> mat4x4<f32> {
    let at = 4u * rows * BLOCK_VECTORS + columns;
    return mat4x4(
        matrix_tile[at], matrix_tile[at + BLOCK_VECTORS],
        matrix_tile[at + 2u * BLOCK_VECTORS], matrix_tile[at + 3u * BLOCK_VECTORS],
    );
}

// What four places leave of others. One after the other, so that each becomes a multiply-add.
fn rest_of(residual: vec4<f32>, weights: mat4x4<f32>, x: vec4<f32>) -> vec4<f32> {
    return residual - x.x * weights[0] - x.y * weights[1] - x.z * weights[2] - x.w * weights[3];
}

// Subtracts what four places of the tiles take from a thread's four places `column`. `own` is where its first item begins.
fn subtract(residuals: ptr<function, Residuals>, own: u32, column: u32, four: u32) {
    let weights = square(four, column);
    (*residuals).first = rest_of((*residuals).first, weights, item_tile[own + four]);
    (*residuals).second = rest_of((*residuals).second, weights, item_tile[own + HALF * ITEM_VECTORS + four]);
}
