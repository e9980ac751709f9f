// out (+)= scale · YᵀX on cooperative matrices: out_kj = scale · Σᵢ y_ik x_ij
//
// x: rows × columns f16 or bf16. y: rows × rank f32. out: splits × rank × columns f32.
// A workgroup computes a tile of TILE_FEATURES × TILE_NEURONS over the rows of its split. The tile has four, seven or eight
// parts, one for each of its subgroups of 64, 32 or 8 threads. Matrices are 16 × 16 or 8 × 8.
// Extent (columns, rank, splits). Split s sums the rows s · split_rows to (s + 1) · split_rows - 1.
//
// The matrices multiply f16, so y is split in two: hi, and the rest lo, which together hold 22 bits. Without the feature
// `exact`, y is rounded to hi. A power of two lifts y to where f16 has room for both. It follows the largest magnitude
// so far, and before it changes, the sums go to the result. bf16 fits into f16 but for its range, so x is lifted in the same
// way there. It loses bits only below 2⁻³⁰ of the largest magnitude. y keeps 22 bits down to about 2⁻¹⁶ of it, and fewer
// below.

import package::shared::elements::{key_bits, magnitude_key, masked, quad};

enable f16;
enable wgpu_int16;
enable wgpu_cooperative_matrix;

struct Params {
    rows: u32,
    columns: u32,
    stride: u32,
    rank: u32,
    coefficient_stride: u32,
    out_stride: u32,
    split_rows: u32,
    accumulate: u32,
    first: u32,
    scale: f32,
    // Never here, because coefficients are f32.
    symmetric: u32,
}

// 8 elements of x in 16 bytes. As f16 they would be loaded one by one.
@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> params: Params;

@if(matrix_16)
const SIZE = 16u;
@if(matrix_16)
alias Left = coop_mat16x16<f16, A>;
@if(matrix_16)
alias Right = coop_mat16x16<f16, B>;
@if(matrix_16)
alias Sum = coop_mat16x16<f32, C>;
@if(matrix_8)
const SIZE = 8u;
@if(matrix_8)
alias Left = coop_mat8x8<f16, A>;
@if(matrix_8)
alias Right = coop_mat8x8<f16, B>;
@if(matrix_8)
alias Sum = coop_mat8x8<f32, C>;

// Parts of a tile down the features and across the neurons, and matrices of a part down and across.
@if(parts_4 || parts_8)
const PARTS_DOWN = 2u;
@if(parts_4)
const PARTS_ACROSS = 2u;
@if(parts_8)
const PARTS_ACROSS = 4u;
@if(parts_4 || parts_8)
const MATRICES_DOWN = 2u;
@if(parts_4 || parts_8)
const MATRICES_ACROSS = 4u;
// Of seven parts, each has all features of the tile, so that x is loaded for 112 features at once.
@if(parts_7)
const PARTS_DOWN = 1u;
@if(parts_7)
const PARTS_ACROSS = 7u;
@if(parts_7)
const MATRICES_DOWN = 7u;
@if(parts_7)
const MATRICES_ACROSS = 2u;
const PARTS = PARTS_DOWN * PARTS_ACROSS;
const MATRICES = MATRICES_DOWN * MATRICES_ACROSS;
@if(subgroup_64)
const THREADS = PARTS * 64u;
@if(subgroup_32)
const THREADS = PARTS * 32u;
@if(subgroup_8)
const THREADS = PARTS * 8u;

const TILE_FEATURES = PARTS_DOWN * MATRICES_DOWN * SIZE;
const TILE_NEURONS = PARTS_ACROSS * MATRICES_ACROSS * SIZE;
// Tokens staged at once.
const DEPTH = 32u;
// Tokens over which one f32 sum runs before it is added to the result. A sum over thousands would lose digits.
const CHAIN = 1024u;

// How the tiles lie in workgroup memory: elements from a token to the next, and from a neuron or a feature to the next.
// The padding spreads the rows over the memory banks. With `token_rows` they lie as in memory: neighbouring threads load
// neighbouring columns, and what they load stays together. This suits devices that transpose a matrix while they load it.
@if(token_rows)
const X_TOKEN = TILE_NEURONS + 8u;
@if(token_rows)
const X_NEURON = 1u;
@if(token_rows)
const X_TILE = DEPTH * X_TOKEN;
@if(token_rows)
const Y_TOKEN = TILE_FEATURES + 8u;
@if(token_rows)
const Y_FEATURE = 1u;
@if(token_rows)
const Y_TILE = DEPTH * Y_TOKEN;
// With `token_columns` tokens lie side by side, so that a thread reads its share of a matrix at once.
@if(token_columns)
const X_TOKEN = 1u;
@if(token_columns)
const X_NEURON = DEPTH + 8u;
@if(token_columns)
const X_TILE = TILE_NEURONS * X_NEURON;
@if(token_columns)
const Y_TOKEN = 1u;
@if(token_columns)
const Y_FEATURE = DEPTH + 8u;
@if(token_columns)
const Y_TILE = TILE_FEATURES * Y_FEATURE;
var<workgroup> x_tile: array<f16, X_TILE>;
var<workgroup> high_tile: array<f16, Y_TILE>;
@if(exact)
var<workgroup> low_tile: array<f16, Y_TILE>;
// One matrix of sums for each part, on its way to memory. It comes before what is not a multiple of 16 bytes, because matrices
// must be aligned to 16 bytes, and drivers place variables one after the other.
var<workgroup> results: array<f32, PARTS * SIZE * SIZE>;
// The largest magnitude in y so far, as the bits of a float. They compare as the float does.
var<workgroup> largest: atomic<u32>;
// The same of x.
@if(bf16)
var<workgroup> largest_x: atomic<u32>;

// Pairs of tokens in a stage. A task of a thread is to load a vector of a pair: 8 neurons of x, or 4 features of y.
const TOKEN_PAIRS = DEPTH / 2u;
// Vectors across a tile, and tasks of a thread.
const X_VECTORS = TILE_NEURONS / 8u;
const X_TASKS = X_VECTORS * TOKEN_PAIRS / THREADS;
const Y_VECTORS = TILE_FEATURES / 4u;
const Y_TASKS = Y_VECTORS * TOKEN_PAIRS / THREADS;

// What a task loads: its first token, and which vector across the tile.
struct Task {
    token: u32,
    vector: u32,
}

fn task_of(t: u32, vectors: u32) -> Task {
    @if(token_rows) {
        return Task(t / vectors * 2u, t % vectors);
    }
    @else {
        return Task(t % TOKEN_PAIRS * 2u, t / TOKEN_PAIRS);
    }
}

// The matrices whose first elements are at these places.
fn x_matrix(at: u32) -> Right {
    @if(token_rows) {
        return coopLoadT<Right>(&x_tile[at], X_TOKEN);
    }
    @else {
        return coopLoad<Right>(&x_tile[at], X_NEURON);
    }
}
fn high_matrix(at: u32) -> Left {
    @if(token_rows) {
        return coopLoad<Left>(&high_tile[at], Y_TOKEN);
    }
    @else {
        return coopLoadT<Left>(&high_tile[at], Y_FEATURE);
    }
}
@if(exact)
fn low_matrix(at: u32) -> Left {
    @if(token_rows) {
        return coopLoad<Left>(&low_tile[at], Y_TOKEN);
    }
    @else {
        return coopLoadT<Left>(&low_tile[at], Y_FEATURE);
    }
}

// The first feature and neuron of a workgroup, and its rows.
struct Tile {
    feature: u32,
    neuron: u32,
    start: u32,
    end: u32,
}

struct Loads {
    x: array<vec4<u32>, X_TASKS>,
    next_x: array<vec4<u32>, X_TASKS>,
    y: array<vec4<f32>, Y_TASKS>,
    next_y: array<vec4<f32>, Y_TASKS>,
}

// Where a thread loads the first token of each task. Beyond the last row, x is loaded from the last row and y is zero.
// Beyond the last column, the last column is loaded, for results that are not stored.
struct Places {
    x: array<u32, X_TASKS>,
    last_x: array<u32, X_TASKS>,
    y: array<u32, Y_TASKS>,
    last_y: array<u32, Y_TASKS>,
}

fn places(tile: Tile, thread: u32) -> Places {
    var at: Places;
    for (var task = 0u; task < X_TASKS; task++) {
        let own = task_of(task * THREADS + thread, X_VECTORS);
        let vector = params.first / 8u + min(tile.neuron / 8u + own.vector, (params.columns - 1u) / 8u);
        at.x[task] = (tile.start + own.token) * (params.stride / 8u) + vector;
        at.last_x[task] = (tile.end - 1u) * (params.stride / 8u) + vector;
    }
    for (var task = 0u; task < Y_TASKS; task++) {
        let own = task_of(task * THREADS + thread, Y_VECTORS);
        let quad = min(tile.feature / 4u + own.vector, (params.rank - 1u) / 4u);
        at.y[task] = (tile.start + own.token) * (params.coefficient_stride / 4u) + quad;
        at.last_y[task] = (tile.end - 1u) * (params.coefficient_stride / 4u) + quad;
    }
    return at;
}

// Loads the stage that begins `tokens` after the tile's start.
fn load(at: Places, tokens: u32, tile: Tile, thread: u32) -> Loads {
    var loads: Loads;
    let x_stride = params.stride / 8u;
    let y_stride = params.coefficient_stride / 4u;
    for (var task = 0u; task < X_TASKS; task++) {
        let x_at = at.x[task] + tokens * x_stride;
        loads.x[task] = x[min(x_at, at.last_x[task])];
        loads.next_x[task] = x[min(x_at + x_stride, at.last_x[task])];
    }
    for (var task = 0u; task < Y_TASKS; task++) {
        let y_at = at.y[task] + tokens * y_stride;
        loads.y[task] = y[min(y_at, at.last_y[task])];
        loads.next_y[task] = y[min(y_at + y_stride, at.last_y[task])];
    }
    if tile.start + tokens + DEPTH > tile.end {
        for (var task = 0u; task < Y_TASKS; task++) {
            let row = tile.start + tokens + task_of(task * THREADS + thread, Y_VECTORS).token;
            loads.y[task] = select(vec4<f32>(), loads.y[task], row < tile.end);
            loads.next_y[task] = select(vec4<f32>(), loads.next_y[task], row + 1u < tile.end);
        }
    }
    @if(bf16) {
        // Whatever lies behind the last column must not count among the magnitudes.
        if tile.neuron + TILE_NEURONS > params.columns {
            for (var task = 0u; task < X_TASKS; task++) {
                let neuron = tile.neuron + task_of(task * THREADS + thread, X_VECTORS).vector * 8u;
                loads.x[task] = masked(loads.x[task], neuron, params.columns);
                loads.next_x[task] = masked(loads.next_x[task], neuron, params.columns);
            }
        }
    }
    return loads;
}

@if(bf16)
fn largest_x_of(loads: Loads) -> u32 {
    var key = 0u;
    for (var task = 0u; task < X_TASKS; task++) {
        key = max(key, max(magnitude_key(loads.x[task]), magnitude_key(loads.next_x[task])));
    }
    return key_bits(key);
}

fn largest_of(loads: Loads) -> f32 {
    var values = vec4<f32>();
    for (var task = 0u; task < Y_TASKS; task++) {
        values = max(values, max(abs(loads.y[task]), abs(loads.next_y[task])));
    }
    return max(max(values.x, values.y), max(values.z, values.w));
}

// The elements 4 * index to 4 * index + 3 of what was loaded, as f16.
@if(f16)
fn lifted(words: vec4<u32>, index: u32, lift: f32) -> vec4<f16> {
    // As integers of 16 bits. Compilers unpack f16 as numbers of f32, which would have to be rounded again.
    let pair = select(words.xy, words.zw, index != 0u);
    return bitcast<vec4<f16>>(vec4<u16>(vec4(pair.x, pair.x >> 16u, pair.y, pair.y >> 16u)));
}
@if(bf16)
fn lifted(words: vec4<u32>, index: u32, lift: f32) -> vec4<f16> {
    return vec4<f16>(lift * quad(words, index));
}

fn stage(loads: Loads, lift: f32, x_lift: f32, thread: u32) {
    for (var task = 0u; task < X_TASKS; task++) {
        let own = task_of(task * THREADS + thread, X_VECTORS);
        let x_at = own.token * X_TOKEN + own.vector * 8u * X_NEURON;
        for (var q = 0u; q < 2u; q++) {
            let token = lifted(loads.x[task], q, x_lift);
            let next_token = lifted(loads.next_x[task], q, x_lift);
            for (var n = 0u; n < 4u; n++) {
                x_tile[x_at + (4u * q + n) * X_NEURON] = token[n];
                x_tile[x_at + (4u * q + n) * X_NEURON + X_TOKEN] = next_token[n];
            }
        }
    }
    for (var task = 0u; task < Y_TASKS; task++) {
        let own = task_of(task * THREADS + thread, Y_VECTORS);
        let y_at = own.token * Y_TOKEN + own.vector * 4u * Y_FEATURE;
        for (var f = 0u; f < 4u; f++) {
            let values = lift * vec2(loads.y[task][f], loads.next_y[task][f]);
            var rounded = values;
            @if(exact) {
                // Rounded by its bits. Compilers remove a conversion to f16 and back, which makes the rest zero.
                rounded = bitcast<vec2<f32>>((bitcast<vec2<u32>>(values) + 0x1000u) & vec2(0xffffe000u));
            }
            let high = vec2<f16>(rounded);
            high_tile[y_at + f * Y_FEATURE] = high.x;
            high_tile[y_at + f * Y_FEATURE + Y_TOKEN] = high.y;
            @if(exact) {
                let low = vec2<f16>(values - rounded);
                low_tile[y_at + f * Y_FEATURE] = low.x;
                low_tile[y_at + f * Y_FEATURE + Y_TOKEN] = low.y;
            }
        }
    }
}

// Where results go.
struct Target {
    tile: Tile,
    split: u32,
    // The first part that has results, and the number of parts that have.
    first_part: u32,
    parts: u32,
    // Undoes the scale and the lift.
    scale: f32,
    // Whether results are added to what is there already.
    accumulate: bool,
}

// Writes the matrix of each part that `results` holds. Within its part it is `row` matrices down and `column` across.
fn store(to: Target, row: u32, column: u32, thread: u32) {
    for (var quad = thread; quad < to.parts * SIZE * SIZE / 4u; quad += THREADS) {
        let part = to.first_part + quad / (SIZE * SIZE / 4u);
        let within = quad % (SIZE * SIZE / 4u) * 4u;
        let feature = to.tile.feature + (part / PARTS_ACROSS * MATRICES_DOWN + row) * SIZE + within / SIZE;
        let neuron = to.tile.neuron + (part % PARTS_ACROSS * MATRICES_ACROSS + column) * SIZE + within % SIZE;
        if part < PARTS && feature < params.rank && neuron < params.columns {
            let sums = vec4(
                results[quad * 4u],
                results[quad * 4u + 1u],
                results[quad * 4u + 2u],
                results[quad * 4u + 3u],
            );
            let at = (to.split * params.rank + feature) * (params.out_stride / 4u) + neuron / 4u;
            // The padding stays zero, whatever lies behind the last column of x.
            var values = select(vec4<f32>(), to.scale * sums, neuron + vec4(0u, 1u, 2u, 3u) < vec4(params.columns));
            if to.accumulate {
                values += out[at];
            }
            out[at] = values;
        }
    }
}

// Writes the matrices of sums that are at a place within each part.
fn finish(sum: Sum, to: Target, at: u32, subgroup: u32, thread: u32) {
    if subgroup < to.parts {
        coopStoreT(sum, &results[subgroup * SIZE * SIZE], SIZE);
    }
    workgroupBarrier();
    store(to, at / MATRICES_ACROSS, at % MATRICES_ACROSS, thread);
    workgroupBarrier();
}

// A power of two that lifts an operand, and its inverse.
struct Lift {
    up: f32,
    down: f32,
    // The largest magnitude for which this power is small enough, as bits.
    limit: u32,
}

// The lift for the bits of the largest magnitude. It takes the magnitude's [2ᵉ, 2ᵉ⁺¹) to [2¹³, 2¹⁴). f16 has room for
// more than twice that.
fn lift_for(bits: u32) -> Lift {
    let exponent = clamp(bits >> 23u, 16u, 254u);
    let down = bitcast<f32>((exponent - 13u) << 23u);
    return Lift(bitcast<f32>((267u - exponent) << 23u), down, bitcast<u32>(32768.0 * down));
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_size) subgroup_size: u32,
) {
    let start = min(workgroup.z * params.split_rows, params.rows);
    let end = start + min(params.split_rows, params.rows - start);
    let tile = Tile(workgroup.y * TILE_FEATURES, workgroup.x * TILE_NEURONS, start, end);
    let at = places(tile, thread);
    if thread == 0u {
        atomicStore(&largest, 0u);
        @if(bf16) {
            atomicStore(&largest_x, 0u);
        }
    }

    // With subgroups of the expected size there are as many of them as parts, and one pass. With larger subgroups there
    // are more passes. With smaller ones, those without a part of their own repeat the last part for nothing.
    let side_by_side = clamp(THREADS / subgroup_size, 1u, PARTS);
    let subgroup = subgroupBroadcastFirst(thread / subgroup_size);
    for (var first_part = 0u; first_part < PARTS; first_part += side_by_side) {
        let slot = min(subgroup, side_by_side - 1u);
        let part = min(first_part + slot, PARTS - 1u);
        let left_at = part / PARTS_ACROSS * MATRICES_DOWN * SIZE * Y_FEATURE;
        let right_at = part % PARTS_ACROSS * MATRICES_ACROSS * SIZE * X_NEURON;
        var tokens = 0u;
        var next = load(at, 0u, tile, thread);
        workgroupBarrier();
        atomicMax(&largest, bitcast<u32>(largest_of(next)));
        @if(bf16) {
            atomicMax(&largest_x, largest_x_of(next));
        }
        loop {
            workgroupBarrier();
            let lift = lift_for(atomicLoad(&largest));
            @if(f16)
            let x_lift = Lift(1.0, 1.0, 0xffffffffu);
            @if(bf16)
            let x_lift = lift_for(atomicLoad(&largest_x));
            stage(next, lift.up, x_lift.up, thread);
            let begin = tokens;
            let end_of_chain = min(tokens + CHAIN, end - start);
            // They begin as products of zeros. Where they begin as zeros, NVIDIA's open compiler places them so that each of them moves
            // to other registers in every iteration.
            var sums: array<Sum, MATRICES>;
            for (var at = 0u; at < MATRICES; at++) {
                sums[at] = coopMultiplyAdd(Left(), Right(), Sum());
            }
            loop {
                workgroupBarrier();
                // The next stage is being loaded while this one is multiplied.
                tokens += DEPTH;
                next = load(at, tokens, tile, thread);
                for (var depth = 0u; depth < DEPTH; depth += SIZE) {
                    let left_place = left_at + depth * Y_TOKEN;
                    var high: array<Left, MATRICES_DOWN>;
                    @if(exact)
                    var low: array<Left, MATRICES_DOWN>;
                    for (var row = 0u; row < MATRICES_DOWN; row++) {
                        high[row] = high_matrix(left_place + row * SIZE * Y_FEATURE);
                        @if(exact) {
                            low[row] = low_matrix(left_place + row * SIZE * Y_FEATURE);
                        }
                    }
                    let right_place = right_at + depth * X_TOKEN;
                    var right: array<Right, MATRICES_ACROSS>;
                    for (var column = 0u; column < MATRICES_ACROSS; column++) {
                        right[column] = x_matrix(right_place + column * SIZE * X_NEURON);
                    }
                    for (var at = 0u; at < MATRICES; at++) {
                        sums[at] = coopMultiplyAdd(high[at / MATRICES_ACROSS], right[at % MATRICES_ACROSS], sums[at]);
                    }
                    @if(exact) {
                        for (var at = 0u; at < MATRICES; at++) {
                            sums[at] = coopMultiplyAdd(low[at / MATRICES_ACROSS], right[at % MATRICES_ACROSS], sums[at]);
                        }
                    }
                }
                let most = bitcast<u32>(largest_of(next));
                if most > lift.limit {
                    atomicMax(&largest, most);
                }
                @if(bf16) {
                    let most_x = largest_x_of(next);
                    if most_x > x_lift.limit {
                        atomicMax(&largest_x, most_x);
                    }
                }
                workgroupBarrier();
                // All threads have multiplied this stage, and have reported larger magnitudes in the next one. They read the
                // same, because none reports again before the next barrier.
                var has_outgrown = subgroupBroadcastFirst(atomicLoad(&largest)) > lift.limit;
                @if(bf16) {
                    has_outgrown |= subgroupBroadcastFirst(atomicLoad(&largest_x)) > x_lift.limit;
                }
                if has_outgrown || tokens >= end_of_chain {
                    break;
                }
                stage(next, lift.up, x_lift.up, thread);
            }
            let accumulate = params.accumulate != 0u || begin > 0u;
            let scale = params.scale * x_lift.down * lift.down;
            let to = Target(tile, workgroup.z, first_part, side_by_side, scale, accumulate);
            finish(sums[0], to, 0u, subgroup, thread);
            finish(sums[1], to, 1u, subgroup, thread);
            finish(sums[2], to, 2u, subgroup, thread);
            finish(sums[3], to, 3u, subgroup, thread);
            finish(sums[4], to, 4u, subgroup, thread);
            finish(sums[5], to, 5u, subgroup, thread);
            finish(sums[6], to, 6u, subgroup, thread);
            finish(sums[7], to, 7u, subgroup, thread);
            @if(parts_7) {
                finish(sums[8], to, 8u, subgroup, thread);
                finish(sums[9], to, 9u, subgroup, thread);
                finish(sums[10], to, 10u, subgroup, thread);
                finish(sums[11], to, 11u, subgroup, thread);
                finish(sums[12], to, 12u, subgroup, thread);
                finish(sums[13], to, 13u, subgroup, thread);
            }
            if tokens >= end - start {
                break;
            }
        }
    }
}
