// residuals[i] = Σⱼ (scale · x_ij − Σₖ y_ik z_kj)²
//
// x: rows × columns elements. coefficients y: rows × rank f32. features z: rank × columns f32. residuals: rows f32.
// The difference is taken neuron by neuron, so that the residual of an exact fit does not drown in larger terms.
// A workgroup takes TOKENS tokens. Each thread takes the same four neurons of all of them.

import package::shared::elements::{ELEMENTS, masked, quad};

struct Params {
    rows: u32,
    columns: u32,
    stride: u32,
    rank: u32,
    coefficient_stride: u32,
    feature_stride: u32,
    scale: f32,
    first: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> coefficients: array<f32>;
@group(0) @binding(2) var<storage, read> features: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> residuals: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

const THREADS = 256u;
const TOKENS = 4u;
// Features whose coefficients are staged at once.
const CHUNK = 256u;

// One feature's coefficients of all tokens.
var<workgroup> staged: array<vec4<f32>, CHUNK>;
var<workgroup> sums: array<vec4<f32>, THREADS>;

// The coefficient of a feature in a token, or 0 if there is no such token.
fn coefficient(token: u32, feature: u32) -> f32 {
    var value = 0.0;
    if token < params.rows {
        value = coefficients[token * params.coefficient_stride + feature];
    }
    return value;
}

// Four neurons of a token, from `neuron` on, scaled.
fn activations(token: u32, neuron: u32) -> vec4<f32> {
    let first = neuron / ELEMENTS * ELEMENTS;
    let words = x[params.first / ELEMENTS + token * (params.stride / ELEMENTS) + neuron / ELEMENTS];
    return params.scale * quad(masked(words, first, params.columns), (neuron - first) / 4u);
}

// What the k-th feature of a chunk gives to four neurons of each token.
fn of_feature(chunk: u32, k: u32, vector: u32) -> mat4x4<f32> {
    let z = features[(chunk + k) * (params.feature_stride / 4u) + vector];
    let y = staged[k];
    return mat4x4(y.x * z, y.y * z, y.z * z, y.w * z);
}

fn squares(token: u32, neuron: u32, reconstructed: vec4<f32>) -> f32 {
    var square = 0.0;
    if token < params.rows {
        let inside = vec4(neuron) + vec4(0u, 1u, 2u, 3u) < vec4(params.columns);
        let residual = select(vec4<f32>(), activations(token, neuron) - reconstructed, inside);
        square = dot(residual, residual);
    }
    return square;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    for (var token = workgroup.x * TOKENS; token < params.rows; token += workgroups.x * TOKENS) {
        var total = vec4<f32>();
        for (var first = 0u; first < params.columns; first += 4u * THREADS) {
            let neuron = first + 4u * thread;
            var reconstructed = mat4x4<f32>();
            for (var chunk = 0u; chunk < params.rank; chunk += CHUNK) {
                let count = min(CHUNK, params.rank - chunk);
                workgroupBarrier();
                if thread < count {
                    let feature = chunk + thread;
                    staged[thread] = vec4(
                        coefficient(token, feature),
                        coefficient(token + 1u, feature),
                        coefficient(token + 2u, feature),
                        coefficient(token + 3u, feature),
                    );
                }
                workgroupBarrier();
                if neuron < params.columns {
                    let vector = neuron / 4u;
                    var k = 0u;
                    // Eight features at a time, because Mesa's software renderer ends all loops after 65,535 iterations.
                    for (; k + 8u <= count; k += 8u) {
                        reconstructed += of_feature(chunk, k, vector) + of_feature(chunk, k + 1u, vector);
                        reconstructed += of_feature(chunk, k + 2u, vector) + of_feature(chunk, k + 3u, vector);
                        reconstructed += of_feature(chunk, k + 4u, vector) + of_feature(chunk, k + 5u, vector);
                        reconstructed += of_feature(chunk, k + 6u, vector) + of_feature(chunk, k + 7u, vector);
                    }
                    for (; k < count; k++) {
                        reconstructed += of_feature(chunk, k, vector);
                    }
                }
            }
            if neuron < params.columns {
                total += vec4(
                    squares(token, neuron, reconstructed[0]),
                    squares(token + 1u, neuron, reconstructed[1]),
                    squares(token + 2u, neuron, reconstructed[2]),
                    squares(token + 3u, neuron, reconstructed[3]),
                );
            }
        }
        // This barrier also keeps the sums of the earlier tokens until they have been read.
        workgroupBarrier();
        sums[thread] = total;
        for (var width = THREADS / 2u; width > 0u; width /= 2u) {
            workgroupBarrier();
            if thread < width {
                sums[thread] += sums[thread + width];
            }
        }
        workgroupBarrier();
        if thread < TOKENS && token + thread < params.rows {
            residuals[token + thread] = sums[0][thread];
        }
    }
}
