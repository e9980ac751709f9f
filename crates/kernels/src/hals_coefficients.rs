//! Coordinate descent (HALS; Cichocki and Phan 2009) on the coefficients, with a penalty on each token's sum.

use std::array;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::{
    BLOCK, LANES, PackedBlocks, SparseDescent, Sums, add_product, arch, count_nonzeros, deinterleave, interleave,
    split_f64, subtract_products, vectors_at_once, with_scratch,
};
use crate::inner_product::{PARTIAL_WORDS, PARTIALS, sum_products};
use crate::normalize_coefficients::scale_columns;
use crate::variant::ELIMINATION;
use crate::{Access, BufferId, Call, Cost, CpuTwin, ElementType, Kernel, Matrix, Memory, Moved, Recording};

/// Least energy Q_kk of a feature that takes coefficients, if activations are of the order 1. A coefficient is of the
/// order 1/√Q_kk, and its square must not overflow in f32.
const LEAST_ENERGY: f32 = 1e-24;

/// Going from token to token is faster if, of this many coefficients, at most one is not zero …
const WORTH: usize = 8;
/// … where this many are counted for each token in addition.
const OVERHEAD_OF_TOKEN: usize = 6;

/// Tokens that a workgroup handles at a time.
const TOKENS: u32 = 64;

/// 32-bit words of the partial sums of ⟨Y, P⟩ and Σ ‖xᵢ‖ y_ik.
pub const DESCENT_SUM_WORDS: u32 = 2 * PARTIAL_WORDS;

/// The kernel's metadata.
pub static HALS_COEFFICIENTS: Kernel = Kernel {
    name: "hals_coefficients",
    access: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::ReadWrite, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: ELIMINATION,
    twin: CpuTwin::Alone(twin),
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
    least: f32,
    scaled: u32,
    inner: u32,
    zero: u32,
}

/// What the coefficients are updated by, and where they are.
#[derive(Clone, Copy, Debug)]
pub struct HalsOperands {
    /// P [rows, K].
    pub projections: Matrix,
    /// Q = ZZᵀ [K, K].
    pub feature_gram: Matrix,
    /// ‖xᵢ‖² \[rows\].
    pub squared_norms: BufferId,
    /// Factors \[K\] by which the columns of Y are multiplied first, if any.
    pub scales: Option<BufferId>,
    /// Y [rows, K].
    pub coefficients: Matrix,
    /// Room for two sums, [`DESCENT_SUM_WORDS`] words: ⟨Y, P⟩ in the first [`PARTIAL_WORDS`](crate::PARTIAL_WORDS), and Σ ‖xᵢ‖ y_ik in
    /// as many behind them.
    pub inner: BufferId,
}

/// What becomes of the partial sums of ⟨Y, P⟩ and Σ ‖xᵢ‖ y_ik after the sweeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InnerSum {
    /// They stay as they are.
    Skipped,
    /// They are written.
    Started,
    /// These tokens are added.
    Continued,
}

/// How the coefficients are updated.
#[derive(Clone, Copy, Debug)]
pub struct Sweeps {
    /// Number of sweeps over the features, at least 1.
    pub count: u32,
    /// The weight α of the penalty, at least 0.
    pub penalty: f32,
    /// Whether coefficients of zero stay zero.
    pub keeps_zeros: bool,
    /// What becomes of the sums.
    pub inner: InnerSum,
}

/// Records sweeps over the features k, for every token i by itself:
/// y_ik ← max(0, y_ik + (P_ik − α‖xᵢ‖ − Σₗ y_il Q_kl) / Q_kk), always with the newest y, and y_ik ← 0 if Q_kk is at
/// most 1e-24. If zeros are kept, a coefficient of zero stays zero. The sweeps begin with the scaled columns of Y. Then
/// it takes ⟨Y, P⟩ as [`inner_product`](crate::inner_product()) does, and Σ ‖xᵢ‖ y_ik in the same way, from which the penalty follows.
///
/// # Panics
/// If there are no sweeps, or the strides of P and Y differ.
pub fn hals_coefficients(recording: &mut Recording, on: &HalsOperands, sweeps: Sweeps) {
    let HalsOperands { projections, feature_gram, squared_norms, scales, coefficients, inner } = *on;
    assert_eq!(projections.stride, coefficients.stride, "HALS: strides");
    assert!(sweeps.count > 0, "HALS: sweeps");
    let (rows, rank) = (u64::from(coefficients.rows), u64::from(coefficients.columns));
    recording.dispatch(
        &HALS_COEFFICIENTS,
        ElementType::F32,
        &Params {
            rows: coefficients.rows,
            rank: coefficients.columns,
            stride: coefficients.stride,
            gram_stride: feature_gram.stride,
            sweeps: sweeps.count,
            penalty: sweeps.penalty,
            // No coefficient is below zero.
            least: if sweeps.keeps_zeros { 0.0 } else { -1.0 },
            scaled: scales.is_some().into(),
            inner: sweeps.inner as u32,
            zero: 0,
        },
        &[
            projections.resource,
            feature_gram.resource,
            squared_norms.into(),
            // Something must be bound.
            scales.unwrap_or(squared_norms).into(),
            coefficients.resource,
            inner.into(),
        ],
        [coefficients.rows.div_ceil(TOKENS).min(PARTIALS), 1, 1],
        Cost {
            moved: vec![
                projections.read(),
                feature_gram.read(),
                Moved::read(rows * 4),
                Moved::read(if scales.is_some() { rank * 4 } else { 0 }),
                coefficients.updated(),
                match sweeps.inner {
                    InnerSum::Skipped => Moved::default(),
                    sum => Moved::summed(u64::from(DESCENT_SUM_WORDS) * 4, sum == InnerSum::Continued),
                },
            ],
            flops: 2 * u64::from(sweeps.count) * rows * rank * rank,
        },
    );
}

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [projections, gram, squared_norms, scales, coefficients, partials] = bindings else { unreachable!() };
    let (rows, stride) = (p.rows as usize, p.stride as usize);
    let projections = &projections.read::<f32>()[..rows * stride];
    let coefficients = &mut coefficients.write::<f32>()[..rows * stride];
    if p.scaled != 0 {
        scale_columns(coefficients, stride, &scales.read::<f32>()[..p.rank as usize]);
    }
    let twin = Twin {
        p: &p,
        projections,
        gram: gram.read(),
        squared_norms: &squared_norms.read::<f32>()[..rows],
        coefficients: &mut *coefficients,
    };
    if twin.is_sparse() {
        twin.token_by_token();
    } else {
        arch().dispatch(twin);
    }
    if p.inner != InnerSum::Skipped as u32 {
        let (inner, weighted) = partials.write::<f32>().split_at_mut(PARTIAL_WORDS as usize);
        let continues = p.inner == InnerSum::Continued as u32;
        sum_products(coefficients, projections, inner, continues);
        let squared_norms = &squared_norms.read::<f32>()[..rows];
        sum_weighted(coefficients, stride, squared_norms, &mut weighted[..PARTIAL_WORDS as usize], continues);
    }
}

/// Writes the partial sums of Σ ‖xᵢ‖ y_ik, or adds to them.
fn sum_weighted(coefficients: &[f32], stride: usize, squared_norms: &[f32], partials: &mut [f32], accumulate: bool) {
    let share = squared_norms.len().div_ceil(PARTIALS as usize).max(1);
    let tokens = coefficients.chunks(share * stride).zip(squared_norms.chunks(share));
    let shares: Vec<_> = tokens.collect();
    partials.par_chunks_exact_mut(2).with_min_len(32).enumerate().for_each(|(i, pair)| {
        let old = if accumulate { f64::from(pair[0]) + f64::from(pair[1]) } else { 0.0 };
        let sum: f64 = shares.get(i).map_or(0.0, |(rows, squared_norms)| {
            let rows = rows.chunks_exact(stride).zip(*squared_norms);
            rows.map(|(row, squared_norm)| f64::from(squared_norm.sqrt()) * arch().dispatch(|| sum_of(row))).sum()
        });
        pair.copy_from_slice(&split_f64(old + sum));
    });
}

/// Σ aᵢ, in sixteen sums that do not wait for one another.
#[inline(always)]
fn sum_of(values: &[f32]) -> f64 {
    let (values, rest) = values.as_chunks::<LANES>();
    let mut sums = [0f64; LANES];
    for values in values {
        sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    sums.into_iter().chain(rest.iter().map(|&value| f64::from(value))).sum()
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
        if vectors_at_once::<S>() == 2 { self.run::<S, 2>(simd) } else { self.run::<S, 1>(simd) }
    }
}

impl Twin<'_> {
    /// Whether going from token to token and over coefficients that are not zero is faster than taking many tokens at
    /// once with all of their coefficients. Without a penalty many coefficients become positive that were zero.
    fn is_sparse(&self) -> bool {
        let (rank, stride) = (self.p.rank as usize, self.p.stride as usize);
        let tokens = self.squared_norms.len();
        let overhead = OVERHEAD_OF_TOKEN * tokens;
        (self.p.penalty > 0.0 || self.keeps_zeros())
            && WORTH * overhead <= rank * tokens
            && WORTH * (count_nonzeros(self.coefficients, stride, rank) + overhead) <= rank * tokens
    }

    fn keeps_zeros(&self) -> bool {
        self.p.least == 0.0
    }

    fn token_by_token(self) {
        let (rank, stride) = (self.p.rank as usize, self.p.stride as usize);
        let inverse = inverse_energies(rank, LANES, |k| self.gram[k * self.p.gram_stride as usize + k]);
        let gram_stride = self.p.gram_stride as usize;
        let descent = SparseDescent::new(rank, self.gram, gram_stride, &inverse, self.keeps_zeros());
        self.coefficients
            .par_chunks_mut(LANES * stride)
            .zip(self.projections.par_chunks(LANES * stride))
            .zip(self.squared_norms.par_chunks(LANES))
            .for_each(|((y, projections), norms)| {
                let mut penalties = [0.0; LANES];
                penalties.iter_mut().zip(norms).for_each(|(out, norm)| *out = self.p.penalty * norm.sqrt());
                descent.sweep(y, projections, &penalties[..norms.len()], stride, self.p.sweeps);
            });
    }

    /// Handles `V` vectors of tokens at once.
    fn run<S: Simd, const V: usize>(self, simd: S) {
        let (rank, stride) = (self.p.rank as usize, self.p.stride as usize);
        let features = FeatureGram::new(rank, |l, k| self.gram[l * self.p.gram_stride as usize + k]);
        let width = share_tokens::<S, V>();
        self.coefficients
            .par_chunks_mut(width * stride)
            .zip(self.projections.par_chunks(width * stride))
            .zip(self.squared_norms.par_chunks(width))
            .for_each(|((y, projections), norms)| {
                let rows = rank.next_multiple_of(LANES) * width;
                with_scratch(2 * rows + width, |scratch| {
                    let (own, rest) = scratch.split_at_mut(rows);
                    let (own_projections, penalties) = rest.split_at_mut(rows);
                    for (out, values) in [(&mut *own, &*y), (own_projections, projections)] {
                        // Lanes without a token, and the padding of the last block, compute with zeros.
                        let kept = if norms.len() < width { 0 } else { rank * width };
                        out[kept..].fill(0.0);
                        interleave(values, stride, rank, out, width);
                    }
                    penalties.fill(0.0);
                    penalties.iter_mut().zip(norms).for_each(|(out, norm)| *out = self.p.penalty * norm.sqrt());
                    simd.vectorize(
                        #[inline(always)]
                        || sweep::<S, V>(simd, own, own_projections, penalties, &features, self.p),
                    );
                    deinterleave(own, width, rank, y, stride);
                });
            });
    }
}

/// Tokens that a thread handles at once.
const fn share_tokens<S: Simd, const V: usize>() -> usize {
    let tokens = V * S::F32_LANES;
    if tokens > LANES { tokens } else { LANES }
}

/// ZZᵀ in the form that the sweeps read.
struct FeatureGram {
    negated: PackedBlocks,
    /// 1/Q_kk, or 0 for a feature that takes no coefficient. Up to the end of the last block there are zeros.
    inverse: Vec<f32>,
}

impl FeatureGram {
    fn new(rank: usize, entry: impl Fn(usize, usize) -> f32) -> Self {
        let inverse = inverse_energies(rank, BLOCK, |k| entry(k, k));
        FeatureGram { negated: PackedBlocks::new(rank, entry), inverse }
    }
}

/// 1/Q_kk, or 0 for a feature that takes no coefficient, and up to the next multiple of `padding`.
fn inverse_energies(rank: usize, padding: usize, energy: impl Fn(usize) -> f32) -> Vec<f32> {
    let energies = (0..rank).map(energy);
    let mut inverse: Vec<f32> = energies.map(|q| if q > LEAST_ENERGY { 1.0 / q } else { 0.0 }).collect();
    inverse.resize(rank.next_multiple_of(padding), 0.0);
    inverse
}

/// Sweeps over the features for a share of the tokens. `y` and `projections` hold the values of each feature side by
/// side. `penalties` holds what is subtracted from every projection of a token.
#[inline(always)]
fn sweep<S: Simd, const V: usize>(
    simd: S,
    y: &mut [f32],
    projections: &[f32],
    penalties: &[f32],
    features: &FeatureGram,
    p: &Params,
) {
    let (y, _) = S::as_mut_simd_f32s(y);
    let (y, _) = y.as_chunks_mut::<V>();
    let (projections, _) = S::as_simd_f32s(projections);
    let (projections, _) = projections.as_chunks::<V>();
    let (penalties, _) = S::as_simd_f32s(penalties);
    let (penalties, _) = penalties.as_chunks::<V>();
    let groups = share_tokens::<S, V>() / (V * S::F32_LANES);
    let (zero, least) = (simd.splat_f32s(0.0), simd.splat_f32s(p.least));
    for (group, penalties) in penalties.iter().enumerate() {
        for _ in 0..p.sweeps {
            for (index, inverse) in features.inverse.as_chunks::<BLOCK>().0.iter().enumerate() {
                let (first, block) = (index * BLOCK, features.negated.block(index));
                let place = |j: usize| (first + j) * groups + group;
                let penalised = |j, v| simd.sub_f32s(projections[place(j)][v], penalties[v]);
                let mut residual: Sums<S, V> = array::from_fn(|j| array::from_fn(|v| penalised(j, v)));
                subtract_products(simd, &mut residual, block, y.chunks_exact(groups).map(|row| row[group]));
                for j in 0..BLOCK {
                    let y = &mut y[place(j)];
                    let old = *y;
                    // A zero feature takes no coefficient. So it counts as dead and can be revived.
                    *y = [zero; V];
                    if inverse[j] > 0.0 {
                        *y = old;
                        add_product(simd, y, inverse[j], residual[j]);
                        *y = array::from_fn(|v| {
                            let moves = simd.less_than_f32s(least, old[v]);
                            simd.select_f32s(moves, simd.max_f32s(y[v], zero), zero)
                        });
                    }
                    let step = array::from_fn(|v| simd.sub_f32s(y[v], old[v]));
                    for i in j + 1..BLOCK {
                        add_product(simd, &mut residual[i], block[first + j][i], step);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Vectors;

    #[test]
    fn every_way_sweeps_as_the_formula_says() {
        for ((rows, rank, stride), least) in
            [(1, 1, 4), (33, 13, 16), (70, 37, 40)].into_iter().flat_map(|size| [(size, -1.0), (size, 0.0)])
        {
            let number = |i: usize| ((i * 7919 + 13) % 101) as f64 / 101.0 - 0.3;
            let mut gram: Vec<f32> =
                (0..rank * stride).map(|i| number(i / stride + i % stride) as f32 / rank as f32).collect();
            (0..rank).for_each(|k| gram[k * stride + k] = if k == 5 { 0.0 } else { 1.0 + k as f32 / 9.0 });
            let projections: Vec<f32> = (0..rows * stride).map(|i| number(i * 3) as f32).collect();
            let squared_norms: Vec<f32> = (0..rows).map(|i| i as f32 / 7.0).collect();
            let before: Vec<f32> = (0..rows * stride).map(|i| number(i * 5).max(0.0) as f32).collect();
            let size = |n: usize| n as u32;
            let (sweeps, penalty) = (2, 0.05);
            let p = Params {
                rows: size(rows),
                rank: size(rank),
                stride: size(stride),
                gram_stride: size(stride),
                sweeps,
                penalty,
                least,
                scaled: 0,
                inner: InnerSum::Skipped as u32,
                zero: 0,
            };
            let mut expected: Vec<f64> = before.iter().map(|&y| f64::from(y)).collect();
            for (t, y) in expected.chunks_exact_mut(stride).enumerate() {
                for k in (0..sweeps).flat_map(|_| 0..rank) {
                    let others: f64 = (0..rank).map(|l| y[l] * f64::from(gram[l * stride + k])).sum();
                    let penalised = f64::from(projections[t * stride + k])
                        - f64::from(penalty) * f64::from(squared_norms[t]).sqrt();
                    let energy = f64::from(gram[k * stride + k]);
                    let moves = energy > 0.0 && y[k] > f64::from(least);
                    y[k] = if moves { (y[k] + (penalised - others) / energy).max(0.0) } else { 0.0 };
                }
            }
            for vectors in Vectors::ALL.map(Some).into_iter().chain([None]) {
                let mut found = before.clone();
                let twin = Twin {
                    p: &p,
                    projections: &projections,
                    gram: &gram,
                    squared_norms: &squared_norms,
                    coefficients: &mut found,
                };
                match vectors {
                    Some(vectors) => vectors.arch().dispatch(twin),
                    None => twin.token_by_token(),
                }
                for (index, (&found, expected)) in found.iter().zip(&expected).enumerate() {
                    let (token, feature) = (index / stride, index % stride);
                    assert!(
                        (f64::from(found) - expected).abs() < 1e-5,
                        "{vectors:?}, {rows} × {rank}: {found} for {expected} at {token}, {feature}"
                    );
                }
            }
        }
    }
}
