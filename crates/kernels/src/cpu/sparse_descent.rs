//! Coordinate descent (HALS) on the coefficients of one token after the other, where few of them are not zero. What is
//! left of a token's projections is kept up to date, so that coefficients that stay zero cost nothing.

use pulp::{Simd, WithSimd};

use super::nonzeros::{bits, for_each_nonzero};
use super::vectors::arch;
use super::{LANES, with_scratch};

/// The features as the descent reads them.
pub(crate) struct SparseDescent<'a> {
    /// ZZᵀ, with rows of `inverse.len()` numbers, zero beyond the last feature.
    gram: Vec<f32>,
    rank: usize,
    /// 1/Q_kk, or 0 for a feature that takes no coefficient, and up to the next multiple of [`LANES`].
    inverse: &'a [f32],
    /// Whether coefficients of zero stay zero.
    keeps_zeros: bool,
}

impl<'a> SparseDescent<'a> {
    /// Features with the Gram matrix `gram` [K, K], rows `stride` apart.
    pub fn new(rank: usize, gram: &[f32], stride: usize, inverse: &'a [f32], keeps_zeros: bool) -> Self {
        let mut padded = vec![0.0; rank * inverse.len()];
        for (out, row) in padded.chunks_exact_mut(inverse.len()).zip(gram.chunks(stride)) {
            out[..rank].copy_from_slice(&row[..rank]);
        }
        SparseDescent { gram: padded, rank, inverse, keeps_zeros }
    }

    /// Sweeps over the features for some tokens. `penalties` holds what is subtracted from every projection of a token.
    /// The rows of `y` and `projections` are `stride` apart.
    pub fn sweep(&self, y: &mut [f32], projections: &[f32], penalties: &[f32], stride: usize, sweeps: u32) {
        with_scratch(2 * self.inverse.len(), |scratch| {
            scratch.fill(0.0);
            let (own, residual) = scratch.split_at_mut(self.inverse.len());
            arch().dispatch(Tokens { features: self, y, projections, penalties, stride, sweeps, own, residual });
        });
    }
}

/// Some tokens, and room for the coefficients and the residual of one of them.
struct Tokens<'a> {
    features: &'a SparseDescent<'a>,
    y: &'a mut [f32],
    projections: &'a [f32],
    penalties: &'a [f32],
    stride: usize,
    sweeps: u32,
    own: &'a mut [f32],
    residual: &'a mut [f32],
}

impl WithSimd for Tokens<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Tokens { features, y, projections, penalties, stride, sweeps, own, residual } = self;
        let rank = features.rank;
        for ((y, projections), penalty) in y.chunks_mut(stride).zip(projections.chunks(stride)).zip(penalties) {
            own[..rank].copy_from_slice(&y[..rank]);
            let projected = residual.iter_mut().zip(&projections[..rank]);
            projected.for_each(|(residual, projection)| *residual = projection - penalty);
            for_each_nonzero(own, |feature, value| features.subtract(simd, residual, value, feature));
            (0..sweeps).for_each(|_| features.sweep_once(simd, own, residual));
            y[..rank].copy_from_slice(&own[..rank]);
        }
    }
}

impl SparseDescent<'_> {
    #[inline(always)]
    fn sweep_once<S: Simd>(&self, simd: S, y: &mut [f32], residual: &mut [f32]) {
        for (block, inverse) in self.inverse.as_chunks::<LANES>().0.iter().enumerate() {
            let first = block * LANES;
            let mut place = 0;
            while let Some(next) = self.next(&y[first..], &residual[first..], place) {
                let feature = first + next;
                place = next + 1;
                let old = y[feature];
                // A zero feature takes no coefficient. So it counts as dead and can be revived.
                let moved = if inverse[next] > 0.0 { old + residual[feature] * inverse[next] } else { 0.0 };
                y[feature] = moved.max(0.0);
                let step = y[feature] - old;
                if step != 0.0 {
                    self.subtract(simd, residual, step, feature);
                }
            }
        }
    }

    /// residual −= factor · the feature's row of the Gram matrix.
    #[inline(always)]
    fn subtract<S: Simd>(&self, simd: S, residual: &mut [f32], factor: f32, feature: usize) {
        let factor = simd.splat_f32s(-factor);
        let (residual, _) = S::as_mut_simd_f32s(residual);
        let (row, _) = S::as_simd_f32s(&self.gram[feature * self.inverse.len()..][..self.inverse.len()]);
        for (residual, &value) in residual.iter_mut().zip(row) {
            *residual = simd.mul_add_e_f32s(factor, value, *residual);
        }
    }

    /// The first of the next [`LANES`] features, from `from` on, whose coefficient may change.
    #[inline(always)]
    fn next(&self, y: &[f32], residual: &[f32], from: usize) -> Option<usize> {
        let (y, residual) = (&y[..LANES], &residual[..LANES]);
        let grows = if self.keeps_zeros { f32::INFINITY } else { 0.0 };
        // Most coefficients stay as they are. So all are looked at together.
        let changing = bits::<LANES>(|place| (y[place] > 0.0) | (residual[place] > grows)) >> from;
        (changing != 0).then(|| from + changing.trailing_zeros() as usize)
    }
}
