//! Normalisation: gives the columns of the coefficients unit norm, and moves the scale to the features.

use rayon::prelude::*;

use crate::{
    Access, BufferId, Call, Cost, CpuTwin, ElementType, Features, Kernel, Matrix, Memory, Moved, PORTABLE, Recording,
};

/// The kernel's metadata.
pub static NORMALIZATION: Kernel = Kernel {
    name: "normalization",
    access: &[Access::Read, Access::ReadWrite, Access::ReadWrite, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rank: u32,
    gram_stride: u32,
    columns: u32,
    feature_stride: u32,
    kept: u32,
    norm_floor: f32,
}

/// Records, for every feature k with norm ν = max(√gram_kk, `norm_floor`): scales\[k\] = 1/ν and z_k ← ν z_k. A feature
/// without coefficients (gram_kk = 0) stays as it is. [`normalize_coefficients`](crate::normalize_coefficients())
/// applies the scales to Y when its panel is visited next. (In the official code of Shafran et al. 2026, the columns of
/// G are divided by their norms.)
pub fn normalization(recording: &mut Recording, gram: Matrix, features: &Features, scales: BufferId, norm_floor: f32) {
    let dense = features.dense;
    recording.dispatch(
        &NORMALIZATION,
        ElementType::F32,
        &Params {
            rank: gram.rows,
            gram_stride: gram.stride,
            columns: dense.columns,
            feature_stride: dense.stride,
            kept: features.kept,
            norm_floor,
        },
        &[gram.resource, dense.resource, features.values.into(), scales.into()],
        [gram.rows, 1, 1],
        Cost {
            moved: vec![
                Moved::read(u64::from(gram.rows) * 4),
                dense.updated(),
                Moved::updated(u64::from(gram.rows) * u64::from(features.kept) * 4),
                Moved::written(u64::from(gram.rows) * 4),
            ],
            flops: dense.elements(),
        },
    );
}

/// The norm of a column of the coefficients with this energy, or 1 if there is none.
pub(crate) fn norm_of(energy: f32, floor: f32) -> f32 {
    if energy > 0.0 { energy.sqrt().max(floor) } else { 1.0 }
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [gram, features, values, scales] = bindings else { unreachable!() };
    let gram = gram.read::<f32>();
    features
        .write::<f32>()
        .par_chunks_mut(p.feature_stride as usize)
        .zip(values.write::<f32>().par_chunks_mut(p.kept as usize))
        .zip(scales.write::<f32>())
        .take(p.rank as usize)
        .enumerate()
        .for_each(|(k, ((feature, values), scale))| {
            let energy = gram[k * p.gram_stride as usize + k];
            let norm = norm_of(energy, p.norm_floor);
            *scale = 1.0 / norm;
            feature.iter_mut().chain(values).for_each(|v| *v *= norm);
        });
}
