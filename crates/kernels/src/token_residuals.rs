//! Squared residual of each token, from the Gram identity.

use rayon::prelude::*;

use crate::{
    Access, BufferId, Call, Cost, CpuTwin, ElementType, Kernel, Matrix, Memory, Moved, PORTABLE, Recording, workgroups,
};

/// The kernel's metadata.
pub static TOKEN_RESIDUALS: Kernel = Kernel {
    name: "token_residuals",
    access: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::ReadWrite],
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
    zero: u32,
}

/// Records residuals\[i\] = max(0, ‖xᵢ‖² − Σₖ y_ik (2 P_ik − (YQ)_ik)), the squared residual of token i, with P =
/// `projections`, YQ = `reconstructed` and Y = `coefficients`, all [rows, K].
pub fn token_residuals(
    recording: &mut Recording,
    projections: Matrix,
    reconstructed: Matrix,
    coefficients: Matrix,
    squared_norms: BufferId,
    residuals: BufferId,
) {
    recording.dispatch(
        &TOKEN_RESIDUALS,
        ElementType::F32,
        &Params { rows: coefficients.rows, rank: coefficients.columns, stride: coefficients.stride, zero: 0 },
        &[projections.resource, reconstructed.resource, coefficients.resource, squared_norms.into(), residuals.into()],
        [workgroups(u64::from(coefficients.rows).div_ceil(256)), 1, 1],
        Cost {
            moved: vec![
                projections.read(),
                reconstructed.read(),
                coefficients.read(),
                Moved::read(u64::from(coefficients.rows) * 4),
                Moved::written(u64::from(coefficients.rows) * 4),
            ],
            flops: 4 * coefficients.elements(),
        },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [projections, reconstructed, coefficients, squared_norms, residuals] = bindings else { unreachable!() };
    let (projections, reconstructed) = (projections.read::<f32>(), reconstructed.read::<f32>());
    let (coefficients, squared_norms) = (coefficients.read::<f32>(), squared_norms.read::<f32>());
    residuals.write::<f32>()[..p.rows as usize].par_iter_mut().with_min_len(64).enumerate().for_each(
        |(i, residual)| {
            let row = i * p.stride as usize..i * p.stride as usize + p.rank as usize;
            let explained: f64 = coefficients[row.clone()]
                .iter()
                .zip(&projections[row.clone()])
                .zip(&reconstructed[row])
                .map(|((&y, &p), &yq)| f64::from(y) * (2.0 * f64::from(p) - f64::from(yq)))
                .sum();
            *residual = (f64::from(squared_norms[i]) - explained).max(0.0) as f32;
        },
    );
}
