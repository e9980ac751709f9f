//! Projections P = X Zᵀ of few tokens onto features that keep few neurons. Only the kept neurons of X are touched, by
//! more workgroups than [`sparse_projection`](crate::sparse_projection()) would have.
//!
//! If the features themselves take the place of the activations, this is the feature Gram matrix ZZᵀ.

use crate::sparse_projection::{Operands, Params, twin};
use crate::{Access, BufferId, CpuTwin, Kernel, Matrix, PORTABLE, Recording, workgroups};

/// Tokens of one feature that a workgroup handles.
const TOKENS: u32 = 16;

/// The kernel's metadata.
pub static GATHER_PROJECTION: Kernel = Kernel {
    name: "gather_projection",
    access: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: true,
    variants: PORTABLE,
    // It computes the same.
    twin: CpuTwin::Together(twin),
};

/// Records projections\[i, k\] = scale · Σⱼ kept_values\[k, j\] · x\[i, kept_indices\[k, j\]\]. Each feature keeps
/// `kept` neurons.
pub fn gather_projection(
    recording: &mut Recording,
    activations: Matrix,
    kept_indices: BufferId,
    kept_values: BufferId,
    kept: u32,
    projections: Matrix,
    scale: f32,
) {
    let operands = Operands { activations, kept_indices, kept_values, kept, projections, scale };
    let groups = [workgroups(activations.rows.div_ceil(TOKENS).into()), projections.columns, 1];
    let recorded = operands.record(recording, &GATHER_PROJECTION, groups);
    recorded.scattered = u64::from(activations.rows) * u64::from(projections.columns) * u64::from(kept);
}
