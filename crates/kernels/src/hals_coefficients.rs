//! Coordinate descent (HALS) on the coefficients: Cichocki and Phan 2009, with a penalty on each token's sum.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::{PackedBlocks, block_features, params, subtract_products, with_scratch};
use crate::{Access, BufferId, Cost, ElementType, Kernel, Matrix, Memory, Moved, PORTABLE, Recording};

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
    variants: PORTABLE,
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
            moved: vec![projections.read(), feature_gram.read(), Moved::read(rows * 4), coefficients.updated()],
            flops: 2 * u64::from(sweeps) * rows * rank * rank,
        },
    );
}

fn twin(bytes: &[u8], _: ElementType, bindings: &mut [Memory<'_>]) {
    let p: Params = params(bytes);
    let [projections, gram, squared_norms, coefficients] = bindings else { unreachable!() };
    let rows = p.rows as usize;
    let elements = rows * p.stride as usize;
    pulp::Arch::new().dispatch(Twin {
        p: &p,
        projections: &projections.read::<f32>()[..elements],
        gram: gram.read(),
        squared_norms: &squared_norms.read::<f32>()[..rows],
        coefficients: &mut coefficients.write::<f32>()[..elements],
    });
}

struct Twin<'a> {
    p: &'a Params,
    projections: &'a [f32],
    gram: &'a [f32],
    squared_norms: &'a [f32],
    coefficients: &'a mut [f32],
}

impl WithSimd for Twin<'_> {
    type Output = ();

    fn with_simd<S: Simd>(self, simd: S) {
        if block_features::<S>() == 16 { self.run::<S, 16>(simd) } else { self.run::<S, 8>(simd) }
    }
}

impl Twin<'_> {
    /// As many tokens at once as a vector has lanes, `B` features in registers.
    fn run<S: Simd, const B: usize>(self, simd: S) {
        let (rank, stride) = (self.p.rank as usize, self.p.stride as usize);
        let entry = |l: usize, k: usize| self.gram[l * self.p.gram_stride as usize + k];
        let features = FeatureGram::<B> {
            negated: PackedBlocks::new(rank, entry),
            inverse: (0..rank).map(|k| entry(k, k)).map(|q| if q > LEAST_ENERGY { 1.0 / q } else { 0.0 }).collect(),
        };
        let lanes = S::F32_LANES;
        self.coefficients
            .par_chunks_mut(lanes * stride)
            .zip(self.projections.par_chunks(lanes * stride))
            .zip(self.squared_norms.par_chunks(lanes))
            .for_each(|((y, projections), norms)| {
                with_scratch(2 * rank * lanes, |scratch| {
                    let (own, residual) = scratch.split_at_mut(rank * lanes);
                    // Lanes without a token compute with zeros.
                    if norms.len() < lanes {
                        own.fill(0.0);
                        residual.fill(0.0);
                    }
                    for (t, ((y, projections), norm)) in
                        y.chunks_exact(stride).zip(projections.chunks_exact(stride)).zip(norms).enumerate()
                    {
                        let penalty = self.p.penalty * norm.sqrt();
                        for (own, y) in own.chunks_exact_mut(lanes).zip(y) {
                            own[t] = *y;
                        }
                        for (residual, p) in residual.chunks_exact_mut(lanes).zip(projections) {
                            residual[t] = p - penalty;
                        }
                    }
                    simd.vectorize(
                        #[inline(always)]
                        || sweep(simd, own, residual, &features, self.p.sweeps),
                    );
                    for (t, y) in y.chunks_exact_mut(stride).enumerate() {
                        for (own, y) in own.chunks_exact(lanes).zip(y) {
                            *y = own[t];
                        }
                    }
                });
            });
    }
}

/// ZZᵀ as the sweeps read it.
struct FeatureGram<const B: usize> {
    negated: PackedBlocks<B>,
    /// 1/Q_kk, or 0 for a feature that takes no coefficient.
    inverse: Vec<f32>,
}

/// Sweeps over the features of a vector of tokens: `y` and `projections` (less the penalty) hold a vector for each feature.
#[inline(always)]
fn sweep<S: Simd, const B: usize>(simd: S, y: &mut [f32], projections: &[f32], features: &FeatureGram<B>, sweeps: u32) {
    let (y, _) = S::as_mut_simd_f32s(y);
    let (projections, _) = S::as_simd_f32s(projections);
    let zero = simd.splat_f32s(0.0);
    for _ in 0..sweeps {
        for (index, (projections, inverse)) in projections.chunks(B).zip(features.inverse.chunks(B)).enumerate() {
            let (first, block) = (index * B, features.negated.block(index));
            let mut residual = [zero; B];
            residual[..projections.len()].copy_from_slice(projections);
            subtract_products(simd, &mut residual, block, y.iter().copied());
            for j in 0..inverse.len() {
                let old = y[first + j];
                // A zero feature takes no coefficient, so that it counts as dead and can be revived.
                let new = if inverse[j] > 0.0 {
                    simd.max_f32s(simd.mul_add_e_f32s(residual[j], simd.splat_f32s(inverse[j]), old), zero)
                } else {
                    zero
                };
                y[first + j] = new;
                let step = simd.sub_f32s(new, old);
                let factors = &block[first + j];
                for i in j + 1..B {
                    residual[i] = simd.mul_add_e_f32s(simd.splat_f32s(factors[i]), step, residual[i]);
                }
            }
        }
    }
}
