//! The means of clusters, as k-means compares tokens with them.

use half::bf16;
use rayon::prelude::*;

use crate::{
    Access, BufferId, Call, Cost, CpuTwin, ElementType, Kernel, Matrix, Memory, Moved, PORTABLE, Recording, workgroups,
};

/// The kernel's metadata.
pub static CLUSTER_MEANS: Kernel = Kernel {
    name: "cluster_means",
    access: &[Access::Read, Access::Read, Access::ReadWrite, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rank: u32,
    columns: u32,
    sums_stride: u32,
    means_stride: u32,
}

/// Records means_kj = bf16(sums_kj / max(sizes\[k\], 1)) for the columns j of `means`, and norms\[k\] = Σⱼ means_kj². `sums` \[K, ≥ columns\]
/// are those of the clusters' directions, `sizes` \[K\] their numbers of tokens as u32, `means` [K, columns], `norms` \[K\].
///
/// Means are rounded to bf16, because engines with matrix units then compare tokens with them several times as fast. The clusters stay the
/// same, except for tokens that are about as near to two centroids.
pub fn cluster_means(recording: &mut Recording, sums: Matrix, sizes: BufferId, means: Matrix, norms: BufferId) {
    assert_eq!(sums.rows, means.rows, "cluster means: clusters");
    assert!(sums.columns >= means.columns, "cluster means: neurons");
    let of_clusters = u64::from(means.rows) * 4;
    recording.dispatch(
        &CLUSTER_MEANS,
        ElementType::F32,
        &Params { rank: means.rows, columns: means.columns, sums_stride: sums.stride, means_stride: means.stride },
        &[sums.resource, sizes.into(), means.resource, norms.into()],
        [workgroups(u64::from(means.rows)), 1, 1],
        Cost {
            moved: vec![
                sums.first_columns(means.columns).read(),
                Moved::read(of_clusters),
                means.written(),
                Moved::written(of_clusters),
            ],
            flops: 3 * u64::from(means.rows) * u64::from(means.columns),
        },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [sums, sizes, means, norms] = bindings else { unreachable!() };
    let columns = p.columns as usize;
    let sums = sums.read::<f32>().par_chunks(p.sums_stride as usize);
    let means = means.write::<f32>().par_chunks_mut(p.means_stride as usize);
    let clusters = means.zip(sums).zip(sizes.read::<u32>()).zip(norms.write::<f32>()).take(p.rank as usize);
    clusters.for_each(|(((means, sums), &size), norm)| {
        let size = size.max(1) as f32;
        let mut squares = 0f64;
        for (mean, sum) in means[..columns].iter_mut().zip(sums) {
            *mean = bf16::from_f32(sum / size).to_f32();
            squares += f64::from(*mean).powi(2);
        }
        *norm = squares as f32;
    });
}
