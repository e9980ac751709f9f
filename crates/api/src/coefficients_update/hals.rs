//! Coordinate descent on the coefficients (HALS; Cichocki and Phan 2009). In each sweep, each coefficient of a token moves to its
//! least-squares value while the others are fixed, but not below zero.
//!
//! With a penalty it needs the squared norms of the tokens. It needs no other buffers.

use unmix_kernels::{HalsOperands, Recording, Sweeps, hals_coefficients};

use super::update::{CoefficientsUpdate, Operands, Settings};

/// Coordinate descent, with or without a penalty on the sum of the coefficients.
pub(crate) struct HalsCoefficients {
    penalized: bool,
    keeps_zeros: bool,
}

impl HalsCoefficients {
    /// Without a penalty. It approaches nonnegative least squares.
    pub const PLAIN: Self = HalsCoefficients { penalized: false, keeps_zeros: false };

    /// With the penalty Σᵢₖ α‖xᵢ‖₂·yᵢₖ.
    pub const PENALIZED: Self = HalsCoefficients { penalized: true, keeps_zeros: false };

    /// Without a penalty, for the coefficients above zero alone. It approaches least squares on them.
    pub const UNSHRINKING: Self = HalsCoefficients { penalized: false, keeps_zeros: true };
}

impl CoefficientsUpdate for HalsCoefficients {
    fn record(&self, r: &mut Recording, on: &Operands, settings: Settings) {
        let penalty = if self.penalized { settings.penalty } else { 0.0 };
        let operands = HalsOperands {
            projections: on.projections,
            feature_gram: on.feature_gram,
            squared_norms: on.squared_norms,
            scales: on.scales,
            coefficients: on.coefficients,
            inner: on.inner,
        };
        let Settings { updates: count, inner, .. } = settings;
        hals_coefficients(r, &operands, Sweeps { count, penalty, keeps_zeros: self.keeps_zeros, inner });
    }

    fn updates(&self, asked: Option<u32>) -> u32 {
        asked.unwrap_or(2)
    }

    /// With a penalty the last iterate is the best one: the objective rises only while near copies are pushed apart.
    fn keeps_best(&self, _: f64) -> bool {
        !self.penalized
    }

    fn is_penalized(&self) -> bool {
        self.penalized
    }

    fn solves_least_squares(&self) -> bool {
        !self.penalized
    }
}
