// The multiplicative update of the coefficients (Ding, Li and Jordan 2010; Shafran et al. 2026), elementwise:
//   Y = max(floor, Y0 * sqrt((P+ + Y0 Q-) / (P- + Y0 Q+ + epsilon))), with M+ = max(M, 0) and M- = max(-M, 0).
// projections P [rows, K], feature_gram Q [K, K] (symmetric), previous Y0, coefficients Y [rows, K].
// A workgroup takes 64 tokens and 16 features. A thread takes 4 tokens and 4 features of both matrix products.

const THREADS = 64u;
const TOKENS = 64u;
const FEATURES = 16u;
const FEATURE_VECTORS = FEATURES / 4u;
// Small enough that workgroup memory leaves room for many workgroups.
const DEPTH = 16u;
const DEPTH_VECTORS = DEPTH / 4u;
// Words from one feature's staged coefficients to the next one's. The padding spreads writes over the memory banks.
const FEATURE_WORDS = TOKENS + 4u;
const EXPONENT_BITS = 0x7f800000u;
const SMALLEST_NORMAL = 1.17549435e-38;

struct Params {
    rows: u32,
    rank: u32,
    stride: u32,
    gram_stride: u32,
    epsilon: f32,
    floor: f32,
}

@group(0) @binding(0) var<storage, read> projections: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> feature_gram: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> previous: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> coefficients: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

// One row for each feature, so that a thread's tokens lie side by side.
var<workgroup> token_tile: array<f32, DEPTH * FEATURE_WORDS>;
var<workgroup> positive_tile: array<vec4<f32>, DEPTH * FEATURE_VECTORS>;
var<workgroup> negative_tile: array<vec4<f32>, DEPTH * FEATURE_VECTORS>;

// Four columns of Q from column 4 * vector, zero outside.
fn gram_vector(row: u32, vector: u32) -> vec4<f32> {
    let row_vectors = params.gram_stride / 4u;
    var value = vec4<f32>();
    if row < params.rank && vector < row_vectors {
        value = feature_gram[row * row_vectors + vector];
    }
    return value;
}

// Four previous coefficients of a token, zero outside.
fn token_vector(token: u32, vector: u32) -> vec4<f32> {
    let row_vectors = params.stride / 4u;
    var value = vec4<f32>();
    if token < params.rows && vector < row_vectors {
        value = previous[token * row_vectors + vector];
    }
    return value;
}

// The column times the row. Each column of the result belongs to a token.
fn outer(tokens: vec4<f32>, features: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(tokens.x * features, tokens.y * features, tokens.z * features, tokens.w * features);
}

// Writes four coefficients of a token, given its elements of Y0 Q- and Y0 Q+.
fn update(token: u32, vector: u32, raise: vec4<f32>, lower: vec4<f32>) {
    let row_vectors = params.stride / 4u;
    if token < params.rows && vector < row_vectors {
        let at = token * row_vectors + vector;
        let zero = vec4<f32>();
        let projection = projections[at];
        let old = previous[at];
        let ratio = (max(projection, zero) + raise) / (max(-projection, zero) + lower + vec4(params.epsilon));
        let updated = old * sqrt(ratio);
        let exponents = vec4(EXPONENT_BITS);
        let is_finite = (bitcast<vec4<u32>>(updated) & exponents) != exponents;
        // Subnormals would slow down every later product on a CPU. Both engines remove them.
        let normal = select(updated, zero, updated < vec4(SMALLEST_NORMAL));
        let value = max(select(old, normal, is_finite), vec4(params.floor));
        // The padding must stay zero rather than become the floor.
        let is_feature = vec4(vector * 4u) + vec4(0u, 1u, 2u, 3u) < vec4(params.rank);
        coefficients[at] = select(zero, value, is_feature);
    }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let first_token = workgroup.x * TOKENS;
    let first_vector = workgroup.y * FEATURE_VECTORS;
    let token = thread / FEATURE_VECTORS * 4u;
    let feature_vector = thread % FEATURE_VECTORS;
    // Elements of Y0 Q- and Y0 Q+. Each column belongs to a token.
    var raises = mat4x4<f32>();
    var lowers = mat4x4<f32>();
    for (var depth = 0u; depth < params.rank; depth += DEPTH) {
        for (var v = thread; v < TOKENS * DEPTH_VECTORS; v += THREADS) {
            let vector = v % DEPTH_VECTORS;
            let four = token_vector(first_token + v / DEPTH_VECTORS, depth / 4u + vector);
            let at = 4u * vector * FEATURE_WORDS + v / DEPTH_VECTORS;
            token_tile[at] = four.x;
            token_tile[at + FEATURE_WORDS] = four.y;
            token_tile[at + 2u * FEATURE_WORDS] = four.z;
            token_tile[at + 3u * FEATURE_WORDS] = four.w;
        }
        for (var v = thread; v < DEPTH * FEATURE_VECTORS; v += THREADS) {
            let four = gram_vector(depth + v / FEATURE_VECTORS, first_vector + v % FEATURE_VECTORS);
            positive_tile[v] = max(four, vec4<f32>());
            negative_tile[v] = max(-four, vec4<f32>());
        }
        workgroupBarrier();
        let count = min(DEPTH, params.rank - depth);
        for (var l = 0u; l < count; l++) {
            let at = l * FEATURE_WORDS + token;
            let tokens = vec4(token_tile[at], token_tile[at + 1u], token_tile[at + 2u], token_tile[at + 3u]);
            raises += outer(tokens, negative_tile[l * FEATURE_VECTORS + feature_vector]);
            lowers += outer(tokens, positive_tile[l * FEATURE_VECTORS + feature_vector]);
        }
        workgroupBarrier();
    }
    let vector = first_vector + feature_vector;
    update(first_token + token, vector, raises[0], lowers[0]);
    update(first_token + token + 1u, vector, raises[1], lowers[1]);
    update(first_token + token + 2u, vector, raises[2], lowers[2]);
    update(first_token + token + 3u, vector, raises[3], lowers[3]);
}
