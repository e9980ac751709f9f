//! Weights that keep features apart which are nearly copies.

use rayon::prelude::*;

use crate::{Access, Call, Cost, CpuTwin, ElementType, Kernel, Matrix, Memory, PORTABLE, Recording, workgroups};

/// The kernel's metadata.
pub static COHERENCE_PENALTY: Kernel = Kernel {
    name: "coherence_penalty",
    access: &[Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rank: u32,
    feature_stride: u32,
    coefficient_stride: u32,
    bound: f32,
    strength: f32,
}

/// How features are kept apart that are nearly copies.
#[derive(Clone, Copy, Debug)]
pub struct Coherence {
    /// Cosine of two features from which they are pushed apart, below 1.
    pub bound: f32,
    /// What the weight of two equal features is raised by, as a share of the geometric mean of their energies.
    pub strength: f32,
}

/// Records C_kl ← C_kl + strength · √(C_kk C_ll) · max(0, Q_kl − bound) / (1 − bound) for all k ≠ l. C = `coefficient_gram`
/// [K, K], Q = `feature_gram` [K, K] of features of norm 1, so that Q_kl is their cosine.
///
/// In [`hals_sweep`](crate::hals_sweep()) with this C, a feature avoids the others that it resembles too much. Where no
/// cosine is above the bound, C stays as it is.
pub fn coherence_penalty(
    recording: &mut Recording,
    feature_gram: Matrix,
    coefficient_gram: Matrix,
    coherence: Coherence,
) {
    let entries = u64::from(coefficient_gram.rows) * u64::from(coefficient_gram.rows);
    recording.dispatch(
        &COHERENCE_PENALTY,
        ElementType::F32,
        &Params {
            rank: coefficient_gram.rows,
            feature_stride: feature_gram.stride,
            coefficient_stride: coefficient_gram.stride,
            bound: coherence.bound,
            strength: coherence.strength,
        },
        &[feature_gram.resource, coefficient_gram.resource],
        [workgroups(entries.div_ceil(256)), 1, 1],
        Cost { moved: vec![feature_gram.read(), coefficient_gram.updated()], flops: entries },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [features, coefficients] = bindings else { unreachable!() };
    let (rank, stride) = (p.rank as usize, p.coefficient_stride as usize);
    let (features, coefficients) = (features.read::<f32>(), coefficients.write::<f32>());
    let norms: Vec<f32> = (0..rank).map(|k| coefficients[k * stride + k].sqrt()).collect();
    let rows = coefficients.par_chunks_mut(stride).zip(features.par_chunks(p.feature_stride as usize));
    rows.take(rank).enumerate().with_min_len(64).for_each(|(k, (weights, cosines))| {
        for (l, (weight, cosine)) in weights.iter_mut().zip(&cosines[..rank]).enumerate() {
            let excess = cosine - p.bound;
            if l != k && excess > 0.0 {
                *weight += p.strength * (norms[k] * norms[l]) * excess / (1.0 - p.bound);
            }
        }
    });
}
