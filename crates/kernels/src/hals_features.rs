//! Coordinate descent (HALS) on one feature.

use rayon::prelude::*;

use crate::{Access, Call, Cost, ElementType, Kernel, Matrix, Memory, Moved, PORTABLE, Recording};

/// The kernel's metadata.
pub static HALS_FEATURES: Kernel = Kernel {
    name: "hals_features",
    access: &[Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin,
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    feature: u32,
    rank: u32,
    columns: u32,
    stride: u32,
    gram_stride: u32,
}

/// Records z_k ← z_k + (crossₖ − Σₗ C_kl zₗ) / C_kk for k = `feature`, with `cross` = YᵀX [K, d] and C =
/// `coefficient_gram` [K, K]. This is the exact minimiser over z_k, before
/// [`winner_take_all`](crate::winner_take_all()) cuts it. A feature with C_kk = 0 stays as it is.
pub fn hals_features(
    recording: &mut Recording,
    cross: Matrix,
    coefficient_gram: Matrix,
    features: Matrix,
    feature: u32,
) {
    let (rank, columns) = (u64::from(features.rows), u64::from(features.columns));
    recording.dispatch(
        &HALS_FEATURES,
        ElementType::F32,
        &Params {
            feature,
            rank: features.rows,
            columns: features.columns,
            stride: features.stride,
            gram_stride: coefficient_gram.stride,
        },
        &[cross.resource, coefficient_gram.resource, features.resource],
        [features.columns.div_ceil(256), 1, 1],
        Cost {
            moved: vec![
                Moved { read: cross.row_range(feature, 1), written: 0..0 },
                Moved { read: coefficient_gram.row_range(feature, 1), written: 0..0 },
                Moved { read: 0..features.bytes(), written: features.row_range(feature, 1) },
            ],
            flops: 2 * rank * columns,
        },
    );
}

/// Neurons that a thread handles at once.
const BLOCK_NEURONS: usize = 4096;

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [cross, gram, features] = bindings else { unreachable!() };
    let (k, columns, stride) = (p.feature as usize, p.columns as usize, p.stride as usize);
    let gram = &gram.read::<f32>()[k * p.gram_stride as usize..][..p.rank as usize];
    let energy = gram[k];
    let inverse = 1.0 / energy;
    if !(energy > 0.0 && inverse.is_finite()) {
        return;
    }
    let cross = &cross.read::<f32>()[k * stride..][..columns];
    let (before, rest) = features.write::<f32>().split_at_mut(k * stride);
    let (feature, after) = rest.split_at_mut(stride);
    let others = before.chunks_exact(stride).chain(after.chunks_exact(stride));
    let others: Vec<(&f32, &[f32])> =
        gram[..k].iter().chain(&gram[k + 1..]).zip(others).filter(|(weight, _)| **weight != 0.0).collect();
    feature[..columns].par_chunks_mut(BLOCK_NEURONS).enumerate().for_each(|(block, out)| {
        let first = block * BLOCK_NEURONS;
        // z_k + (cross − Σ C z)/C_kk, without the feature's own term, which cancels.
        let end = first + out.len();
        out.copy_from_slice(&cross[first..end]);
        for (weight, other) in &others {
            for (out, z) in out.iter_mut().zip(&other[first..end]) {
                *out -= *weight * z;
            }
        }
        out.iter_mut().for_each(|h| *h *= inverse);
    });
}
