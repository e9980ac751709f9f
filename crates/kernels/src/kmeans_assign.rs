//! Assigns tokens to clusters: the first half of a Lloyd step of k-means on rows of unit norm.

use rayon::prelude::*;

use crate::{
    Access, BufferId, Call, Cost, CpuTwin, ElementType, Kernel, Matrix, Memory, Moved, PORTABLE, Recording, workgroups,
};

/// The kernel's metadata.
pub static KMEANS_ASSIGN: Kernel = Kernel {
    name: "kmeans_assign",
    access: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    rank: u32,
    stride: u32,
    final_step: u32,
}

/// Operands of [`kmeans_assign`].
#[derive(Clone, Copy, Debug)]
pub struct Assignment {
    /// S = X Cᵀ [rows, K].
    pub scores: Matrix,
    /// ‖xᵢ‖² \[rows\].
    pub squared_norms: BufferId,
    /// ‖c_k‖² \[K\].
    pub centroid_norms: BufferId,
    /// Y [rows, K], written.
    pub coefficients: Matrix,
    /// The cluster of each token \[rows\], written.
    pub assignments: BufferId,
}

/// Records, for every token, the nearest centroid of its direction, argmax S_ik/‖xᵢ‖ − ½‖c_k‖². Of equals, the lower
/// number wins. The coefficient of that centroid becomes the token's only nonzero one: 1/‖xᵢ‖, so that YᵀX sums
/// directions, or with `final_step` the least-squares coefficient max(0, S_ik)/‖c_k‖².
pub fn kmeans_assign(recording: &mut Recording, operands: &Assignment, final_step: bool) {
    let y = operands.coefficients;
    recording.dispatch(
        &KMEANS_ASSIGN,
        ElementType::F32,
        &Params { rows: y.rows, rank: y.columns, stride: y.stride, final_step: final_step.into() },
        &[
            operands.scores.resource,
            operands.squared_norms.into(),
            operands.centroid_norms.into(),
            y.resource,
            operands.assignments.into(),
        ],
        [workgroups(u64::from(y.rows).div_ceil(256)), 1, 1],
        Cost {
            moved: vec![
                operands.scores.read(),
                Moved::read(u64::from(y.rows) * 4),
                Moved::read(u64::from(y.columns) * 4),
                y.written(),
                Moved::written(u64::from(y.rows) * 4),
            ],
            flops: 2 * u64::from(y.rows) * u64::from(y.columns),
        },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [scores, squared_norms, centroid_norms, coefficients, assignments] = bindings else { unreachable!() };
    let (rows, rank, stride) = (p.rows as usize, p.rank as usize, p.stride as usize);
    let centroid_norms = &centroid_norms.read::<f32>()[..rank];
    coefficients.write::<f32>()[..rows * stride]
        .par_chunks_mut(stride)
        .zip(scores.read::<f32>().par_chunks(stride))
        .zip(squared_norms.read::<f32>())
        .zip(&mut assignments.write::<u32>()[..rows])
        .with_min_len(64)
        .for_each(|(((y, scores), &norm), assignment)| {
            let inverse = if norm > 0.0 { 1.0 / norm.sqrt() } else { 0.0 };
            let mut best = (0, f32::NEG_INFINITY);
            for (k, (score, centroid)) in scores.iter().zip(centroid_norms).enumerate() {
                let closeness = score * inverse - 0.5 * centroid;
                if closeness > best.1 {
                    best = (k, closeness);
                }
            }
            let k = best.0;
            *assignment = k as u32;
            y.fill(0.0);
            y[k] = if p.final_step == 0 {
                inverse
            } else if centroid_norms[k] > 0.0 {
                scores[k].max(0.0) / centroid_norms[k]
            } else {
                0.0
            };
        });
}
