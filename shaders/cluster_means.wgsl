// The means of clusters and their squared norms, as k-means compares tokens with them:
//   means_kj = bf16(sums_kj / max(sizes_k, 1)), norms_k = Σⱼ means_kj²
//
// sums: rank × columns, sums of the directions of each cluster's tokens. sizes: the numbers of tokens [rank]. means: rank × columns. norms:
// [rank]. One workgroup for each cluster, looping if there are more clusters than workgroups.

struct Params {
    rank: u32,
    columns: u32,
    sums_stride: u32,
    means_stride: u32,
}

@group(0) @binding(0) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> sizes: array<u32>;
@group(0) @binding(2) var<storage, read_write> means: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> norms: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

const THREADS = 64u;

var<workgroup> squares: array<f32, THREADS>;

// The nearest bf16, of two equally near ones the even one.
fn rounded(values: vec4<f32>) -> vec4<f32> {
    let bits = bitcast<vec4<u32>>(values);
    return bitcast<vec4<f32>>((bits + 0x7fffu + ((bits >> vec4(16u)) & vec4(1u))) & vec4(0xffff0000u));
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    for (var k = workgroup.x; k < params.rank; k += workgroups.x) {
        let size = f32(max(sizes[k], 1u));
        var sum = vec4<f32>();
        for (var v = thread; v * 4u < params.columns; v += THREADS) {
            let is_neuron = vec4(v * 4u) + vec4(0u, 1u, 2u, 3u) < vec4(params.columns);
            // The padding is zero.
            let mean = select(vec4<f32>(), rounded(sums[k * (params.sums_stride / 4u) + v] / size), is_neuron);
            means[k * (params.means_stride / 4u) + v] = mean;
            sum = fma(mean, mean, sum);
        }
        squares[thread] = (sum.x + sum.y) + (sum.z + sum.w);
        for (var width = THREADS / 2u; width > 0u; width /= 2u) {
            workgroupBarrier();
            if thread < width {
                squares[thread] += squares[thread + width];
            }
        }
        if thread == 0u {
            norms[k] = squares[0];
        }
        // The next cluster overwrites the squares, of which the first thread has just read one.
        workgroupBarrier();
    }
}
