//! Projected least squares: Z = (YᵀY + ridge·I)⁻¹ YᵀX over all neurons. Then each feature keeps its strongest neurons.
//!
//! It needs buffers for a Cholesky factor [K, K] and its status. The norms of the columns of Y move to the features, and the next pass
//! divides the columns by them.

use unmix_kernels::{Cut, Recording, Ridge, least_squares, least_squares_cut};

use super::update::{FeaturesUpdate, Operands, Settings};

/// Projected least squares of Shafran, Geiger and Geva (ACL 2026).
pub(crate) struct ProjectedLeastSquares {
    /// What the ridge is relative to.
    unit: fn(f32) -> Ridge,
    default_ridge: f64,
    /// Smallest norm by which a column of Y is divided.
    norm_floor: f32,
}

impl ProjectedLeastSquares {
    /// With a ridge that is a share of the mean diagonal of the Gram matrix.
    pub const RELATIVE: Self = ProjectedLeastSquares { unit: Ridge::Relative, default_ridge: 1e-7, norm_floor: 0.0 };

    /// With an absolute ridge and a floor of the norms, as in the published iteration.
    pub const PUBLISHED: Self = ProjectedLeastSquares { unit: Ridge::Absolute, default_ridge: 1e-6, norm_floor: 1e-8 };
}

impl FeaturesUpdate for ProjectedLeastSquares {
    fn record(&self, r: &mut Recording, on: &Operands<'_>, settings: Settings) {
        least_squares(r, on.sums, on.features, (self.unit)(settings.ridge));
        let cut = Cut { relaxation: settings.relaxation, norm_floor: self.norm_floor };
        least_squares_cut(r, on.sums.gram, on.features, on.scales, cut);
    }

    fn default_ridge(&self) -> f64 {
        self.default_ridge
    }

    fn keeps_unit_norm(&self) -> bool {
        false
    }

    fn solves_least_squares(&self) -> bool {
        true
    }
}
