//! Scales the columns of a panel of coefficients.

use rayon::prelude::*;

use crate::{
    Access, BufferId, Call, Cost, CpuTwin, ElementType, Kernel, Matrix, Memory, Moved, PORTABLE, Recording, workgroups,
};

/// The kernel's metadata.
pub static NORMALIZE_COEFFICIENTS: Kernel = Kernel {
    name: "normalize_coefficients",
    access: &[Access::Read, Access::ReadWrite],
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
}

/// Records y_ik ← scales\[k\] · y_ik, with the scales of [`normalization`](crate::normalization()).
pub fn normalize_coefficients(recording: &mut Recording, scales: BufferId, coefficients: Matrix) {
    recording.dispatch(
        &NORMALIZE_COEFFICIENTS,
        ElementType::F32,
        &Params { rows: coefficients.rows, rank: coefficients.columns, stride: coefficients.stride },
        &[scales.into(), coefficients.resource],
        [workgroups((coefficients.elements() / 4).div_ceil(256)), 1, 1],
        Cost {
            moved: vec![Moved::read(u64::from(coefficients.columns) * 4), coefficients.updated()],
            flops: coefficients.elements(),
        },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [scales, coefficients] = bindings else { unreachable!() };
    let coefficients = &mut coefficients.write::<f32>()[..p.rows as usize * p.stride as usize];
    scale_columns(coefficients, p.stride as usize, &scales.read::<f32>()[..p.rank as usize]);
}

/// Multiplies the columns of a matrix by their scales. Its rows are `stride` apart.
pub(crate) fn scale_columns(matrix: &mut [f32], stride: usize, scales: &[f32]) {
    let rows = matrix.par_chunks_mut(stride).with_min_len(64);
    rows.for_each(|row| row.iter_mut().zip(scales).for_each(|(value, scale)| *value *= scale));
}
