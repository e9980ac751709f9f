//! Coordinate descent (HALS) on the coefficients: Cichocki and Phan 2009, with a penalty on each token's sum.

use rayon::prelude::*;

use crate::cpu::{params, with_scratch};
use crate::{Access, BufferId, Cost, ElementType, Kernel, Matrix, Memory, Recording};

/// Least energy Q_kk of a feature that takes coefficients, where activations are of the order 1: a coefficient of the order
/// 1/√Q_kk must be squared in f32 without overflow.
const LEAST_ENERGY: f32 = 1e-24;

/// Tokens that a workgroup handles.
pub const TOKENS: u32 = 64;

/// The kernel's metadata.
pub static HALS_COEFFICIENTS: Kernel = Kernel {
    name: "hals_coefficients",
    access: &[Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    twin,
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    rank: u32,
    stride: u32,
    gram_stride: u32,
    sweeps: u32,
    penalty: f32,
}

/// Records `sweeps` sweeps over the features k, for every token i on its own:
/// y_ik ← max(0, y_ik + (P_ik − α‖xᵢ‖ − Σₗ y_il Q_kl) / Q_kk) with the newest y, and y_ik ← 0 where Q_kk
/// vanishes (is at most 1e-24).
///
/// P = `projections` [rows, K], Q = `feature_gram` [K, K], `squared_norms` \[rows\] holds ‖xᵢ‖², α = `penalty`.
pub fn hals_coefficients(
    recording: &mut Recording,
    projections: Matrix,
    feature_gram: Matrix,
    squared_norms: BufferId,
    coefficients: Matrix,
    sweeps: u32,
    penalty: f32,
) {
    assert_eq!(projections.stride, coefficients.stride, "HALS: strides");
    let (rows, rank) = (u64::from(coefficients.rows), u64::from(coefficients.columns));
    recording.dispatch(
        &HALS_COEFFICIENTS,
        ElementType::F32,
        &Params {
            rows: coefficients.rows,
            rank: coefficients.columns,
            stride: coefficients.stride,
            gram_stride: feature_gram.stride,
            sweeps,
            penalty,
        },
        &[projections.resource, feature_gram.resource, squared_norms.into(), coefficients.resource],
        [coefficients.rows.div_ceil(TOKENS), 1, 1],
        Cost {
            bytes_read: projections.bytes() + coefficients.bytes() + feature_gram.bytes() + rows * 4,
            bytes_written: coefficients.bytes(),
            flops: 2 * u64::from(sweeps) * rows * rank * rank,
        },
    );
}

fn twin(bytes: &[u8], _: ElementType, bindings: &mut [Memory<'_>]) {
    let p: Params = params(bytes);
    let [projections, gram, squared_norms, coefficients] = bindings else { unreachable!() };
    let (rows, rank, stride) = (p.rows as usize, p.rank as usize, p.stride as usize);
    let (gram, gram_stride) = (gram.read::<f32>(), p.gram_stride as usize);
    let energies = (0..rank).map(|k| gram[k * gram_stride + k]);
    let inverse = energies.map(|q| if q > LEAST_ENERGY { 1.0 / q } else { 0.0 }).collect();
    let features = FeatureGram { gram, stride: gram_stride, inverse };
    let arch = pulp::Arch::new();
    coefficients.write::<f32>()[..rows * stride]
        .par_chunks_mut(stride)
        .zip(projections.read::<f32>()[..rows * stride].par_chunks(stride))
        .zip(&squared_norms.read::<f32>()[..rows])
        .with_min_len(32)
        .for_each(|((y, projection), norm)| {
            let penalty = p.penalty * norm.sqrt();
            let (y, projection) = (&mut y[..rank], &projection[..rank]);
            with_scratch(rank, |residual| {
                arch.dispatch(
                    #[inline(always)]
                    || sweep(y, residual, projection, &features, penalty, p.sweeps),
                );
            });
        });
}

/// ZZᵀ as the sweeps read it.
struct FeatureGram<'a> {
    gram: &'a [f32],
    stride: usize,
    /// 1/Q_kk, or 0 for a feature that takes no coefficient.
    inverse: Vec<f32>,
}

#[inline(always)]
fn sweep(
    y: &mut [f32],
    residual: &mut [f32],
    projection: &[f32],
    features: &FeatureGram<'_>,
    penalty: f32,
    sweeps: u32,
) {
    let rank = y.len();
    let FeatureGram { gram, stride, inverse } = features;
    for (r, p) in residual.iter_mut().zip(projection) {
        *r = p - penalty;
    }
    for (k, &y) in y.iter().enumerate().filter(|(_, y)| **y != 0.0) {
        subtract(residual, y, &gram[k * stride..][..rank]);
    }
    for _ in 0..sweeps {
        for k in 0..rank {
            // A zero feature takes no coefficient, so that it counts as dead and can be revived.
            let step = if inverse[k] > 0.0 { (residual[k] * inverse[k]).max(-y[k]) } else { -y[k] };
            if step != 0.0 {
                y[k] += step;
                subtract(residual, step, &gram[k * stride..][..rank]);
            }
        }
    }
}

#[inline(always)]
fn subtract(residual: &mut [f32], factor: f32, row: &[f32]) {
    for (r, q) in residual.iter_mut().zip(row) {
        *r -= factor * q;
    }
}
