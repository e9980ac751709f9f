//! Over-relaxation of the features, between least squares and the cut.

use rayon::prelude::*;

use crate::{Access, Call, Cost, ElementType, Features, Kernel, Matrix, Memory, Moved, PORTABLE, Recording};

/// The kernel's metadata.
pub static RELAXATION: Kernel = Kernel {
    name: "relaxation",
    access: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin,
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rank: u32,
    gram_stride: u32,
    columns: u32,
    feature_stride: u32,
    kept: u32,
    amount: f32,
}

/// Records z_k ← z_k + `amount` · (z_k − previous_k) for the dense features z. The kept entries must still be those of
/// the previous features. A feature without coefficients (gram_kk = 0) stays as it is.
pub fn relaxation(recording: &mut Recording, gram: Matrix, features: &Features, amount: f32) {
    let (dense, entries) = (features.dense, u64::from(gram.rows) * u64::from(features.kept));
    recording.dispatch(
        &RELAXATION,
        ElementType::F32,
        &Params {
            rank: gram.rows,
            gram_stride: gram.stride,
            columns: dense.columns,
            feature_stride: dense.stride,
            kept: features.kept,
            amount,
        },
        &[gram.resource, features.indices.into(), features.values.into(), dense.resource],
        [gram.rows, 1, 1],
        Cost {
            moved: vec![
                Moved::read(u64::from(gram.rows) * 4),
                Moved::read(entries * 4),
                Moved::read(entries * 4),
                dense.updated(),
            ],
            flops: dense.elements() + 2 * entries,
        },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [gram, indices, values, features] = bindings else { unreachable!() };
    let (gram, kept) = (gram.read::<f32>(), p.kept as usize);
    features
        .write::<f32>()
        .par_chunks_mut(p.feature_stride as usize)
        .zip(indices.read::<u32>().par_chunks(kept).zip(values.read::<f32>().par_chunks(kept)))
        .take(p.rank as usize)
        .enumerate()
        .filter(|(k, _)| gram[k * p.gram_stride as usize + k] > 0.0)
        .for_each(|(_, (feature, (indices, values)))| {
            feature.iter_mut().for_each(|z| *z *= 1.0 + p.amount);
            for (&neuron, value) in indices.iter().zip(values) {
                feature[neuron as usize] -= p.amount * value;
            }
        });
}
