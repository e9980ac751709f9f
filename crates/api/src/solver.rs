//! A solver is an update of the features and an update of the coefficients.

use crate::coefficients_update::{CoefficientsUpdate, HalsCoefficients, MultiplicativeUpdates, PublishedUpdate};
use crate::features_update::{FeaturesUpdate, HalsFeatures, ProjectedLeastSquares};
use crate::{Options, Solver};

/// The two updates of a solver.
#[derive(Clone, Copy)]
pub(crate) struct Updates {
    pub features: &'static dyn FeaturesUpdate,
    pub coefficients: &'static dyn CoefficientsUpdate,
}

impl Solver {
    /// The two updates of this solver.
    pub(crate) fn updates(self) -> Updates {
        let (features, coefficients): (&dyn FeaturesUpdate, &dyn CoefficientsUpdate) = match self {
            Solver::ProjectedLs => (&ProjectedLeastSquares::RELATIVE, &HalsCoefficients::PLAIN),
            Solver::Hals => (&HalsFeatures, &HalsCoefficients::PENALIZED),
            Solver::Mu => (&ProjectedLeastSquares::RELATIVE, &MultiplicativeUpdates),
            Solver::Paper => (&ProjectedLeastSquares::PUBLISHED, &PublishedUpdate),
        };
        Updates { features, coefficients }
    }
}

impl Updates {
    /// Whether both updates approach least squares: the features given the coefficients, and the coefficients given the features. For such
    /// solvers over-relaxation and a warm-up pay, small errors of the cross product do no harm, and the features determine the
    /// coefficients.
    pub fn alternate_least_squares(&self) -> bool {
        self.features.solves_least_squares() && self.coefficients.solves_least_squares()
    }

    /// Weight of the penalty on the sum of the coefficients. It is 0 if there is no penalty.
    pub fn penalty(&self, options: &Options) -> f64 {
        if self.coefficients.is_penalized() { options.penalty } else { 0.0 }
    }

    /// Whether there is a penalty with these options.
    pub fn penalize(&self, options: &Options) -> bool {
        self.penalty(options) > 0.0
    }
}
