//! The result of a fit.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{DenseMatrix, Options, StopReason};

/// The least share of ‖X‖² that features explain, unless they stand for hardly anything.
const LEAST_EXPLAINED: f64 = 1e-3;

/// X ≈ Y Z with Y ≥ 0 and sparse rows of Z.
///
/// The solver decides which factor carries the magnitude of the activations. With [`Solver::Hals`](crate::Solver::Hals) the features have
/// norm 1, and the coefficients carry the magnitude. The other solvers bring the columns of Y to unit norm before each update. So the
/// features carry the magnitude, and the coefficients are of the order 1/√n.
#[derive(Clone, Debug)]
pub struct Factorization {
    /// Features Z, [K, d], with at most m nonzeros in each row.
    pub features: DenseMatrix,
    /// Coefficients Y ≥ 0, [n, K].
    pub coefficients: DenseMatrix,
    /// How the fit went.
    pub summary: FitSummary,
}

/// How a fit went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitSummary {
    /// ‖X − YZ‖² / ‖X‖² of the returned factors. The residuals are computed neuron by neuron, and their squares are added in f64.
    pub relative_error: f64,
    /// How far the returned factors are from a point where neither can be improved alone. It is absent in fits of older versions.
    #[serde(default)]
    pub optimality: Option<Optimality>,
    /// Number of iterations that were run.
    pub iterations: u32,
    /// The iteration (from 1) whose factors are returned.
    pub best_iteration: u32,
    /// Why the fit ended.
    pub stop_reason: StopReason,
    /// Wall time of the fit in seconds. It includes the start, but not the loading of the activations.
    pub seconds: f64,
    /// `cpu` or `gpu`.
    pub engine: String,
    /// The adapter's or processor's name.
    pub adapter: String,
    /// Tokens n.
    pub tokens: u64,
    /// Neurons d.
    pub neurons: u32,
    /// Largest number m of nonzeros in a feature.
    pub kept_per_feature: u32,
    /// ‖X‖².
    pub squared_norm: f64,
    /// Squared error ‖X − YZ‖² after each iteration.
    pub loss_curve: Vec<f64>,
    /// Wall time in seconds from the beginning of the fit to its first iteration. It is 0 in fits of older versions.
    #[serde(default)]
    pub start_seconds: f64,
    /// Wall time in seconds from the beginning of the fit until each loss of `loss_curve` was known. It is empty in fits of older versions.
    /// The median of the differences is the time of an iteration, because the host waits for one loss after the other.
    #[serde(default)]
    pub seconds_curve: Vec<f64>,
    /// The objective ½‖X − YZ‖² + Σ α‖xᵢ‖yᵢₖ after each iteration, which [`Solver::Hals`](crate::Solver::Hals) never raises. It is empty
    /// for the other solvers.
    pub objective_curve: Vec<f64>,
    /// Features that were revived, as pairs (iteration, feature).
    pub revived: Vec<(u32, u32)>,
    /// Features whose values or coefficients are all zero in the end.
    pub dead_features: Vec<u32>,
    /// Number of tokens that are not zero and whose squared residual is more than twice their squared norm. It is 0 in fits of older
    /// versions.
    #[serde(default)]
    pub unsettled_tokens: u64,
    /// Statistics of each feature. It has K entries.
    pub feature_statistics: Vec<FeatureStatistics>,
    /// Options of the fit.
    pub options: Options,
    /// How the runs agreed whose consensus this is. It is absent for a single run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consensus: Option<ConsensusSummary>,
}

/// Why the factors of a fit may be of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FitWarning {
    /// What is wrong.
    pub text: String,
    /// What to do, in sentences.
    pub advice: &'static str,
}

impl fmt::Display for FitWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.text, self.advice)
    }
}

impl FitSummary {
    /// Why the factors may be of no use. Either the activations are all zero. Or the factors explain hardly anything. The published iteration comes to this with small activations,
    /// because its constants are absolute. Or the coefficients of most tokens have not settled, if the loss of a few large tokens is all
    /// that counts.
    pub fn warning(&self) -> Option<FitWarning> {
        if self.squared_norm == 0.0 {
            return Some(FitWarning {
                text: "all activations are zero, so the features stand for nothing".to_owned(),
                advice: "Check how the activations were saved.",
            });
        }
        if self.relative_error >= 1.0 - LEAST_EXPLAINED {
            return Some(FitWarning {
                text: "the features explain less than 0.1% of the activations, so they stand for hardly anything"
                    .to_owned(),
                advice: "Take a smaller penalty, another solver or more features. With the solver `paper`, whose constants are absolute, \
                         multiply the activations by a power of ten first.",
            });
        }
        let FitSummary { unsettled_tokens: unsettled, tokens, .. } = self;
        (unsettled.saturating_mul(10) > *tokens).then(|| FitWarning {
            text: format!(
                "{unsettled} of {tokens} tokens are explained worse than by no feature at all, because their coefficients have not settled"
            ),
            advice: "Start by k-means, let the fit run longer, leave tokens of large norm out, or find the coefficients again by encoding.",
        })
    }
}

/// How the runs of a consensus went, and how well they agreed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsensusSummary {
    /// Number of runs.
    pub runs: u32,
    /// The seed of each run.
    pub seeds: Vec<u64>,
    /// Number of iterations of each run.
    pub iterations_each: u32,
    /// How many of them the runs did because they agreed too little after the others.
    #[serde(default)]
    pub more_iterations: u32,
    /// Mean cosine of the features of two single runs, matched one to one, from 0 to 1: the mean over the matchings of each run with the
    /// next one, and of the last with the first. A feature without a counterpart counts as 0.
    pub stability: f64,
}

/// How far the factors are from a point that satisfies the Karush-Kuhn-Tucker conditions. The distances are shares of ‖X‖, and do not
/// depend on which factor carries the magnitude. R = X − YZ is the residual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Optimality {
    /// √(Σᵢₖ gᵢₖ²) / ‖X‖. Here gᵢₖ = ⟨rᵢ, z_k⟩ / ‖z_k‖ is what a change of the coefficient yᵢₖ can still gain.
    /// [`Solver::Hals`](crate::Solver::Hals) subtracts α‖xᵢ‖ from it, for the penalty, except where the coefficient was found again without
    /// it. A coefficient of zero counts only if it should grow.
    /// The value is 0 if the coefficients are optimal for the features.
    pub coefficients: f64,
    /// √(Σₖ ‖(YᵀR)ₖ‖² / ‖y_k‖²) / ‖X‖ over the neurons that each feature keeps. The value is 0 if the features are optimal for the
    /// coefficients and the kept neurons. The features of [`Solver::Hals`](crate::Solver::Hals) have norm 1, so of YᵀR only what is
    /// orthogonal to the feature counts. [`Solver::ProjectedLs`](crate::Solver::ProjectedLs) cuts a least-squares solution over all
    /// neurons, so it does not reach 0.
    pub features: f64,
}

/// Statistics of one feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeatureStatistics {
    /// ‖y_k‖²‖z_k‖² / ‖X‖², the energy of the feature's own part of the reconstruction. Parts overlap, so the shares need not sum to the
    /// explained variance.
    pub energy_share: f64,
    /// The amount by which the relative error would rise if the feature were removed and nothing else changed.
    pub explained_share: f64,
    /// Share of the tokens whose coefficient is above zero.
    pub active_share: f64,
    /// Largest coefficient of the feature.
    pub max_coefficient: f32,
    /// Euclidean norm of the feature.
    pub norm: f64,
    /// Number of nonzeros of the feature.
    pub nonzeros: u32,
    /// The mean cosine between the feature and the nearest feature of a consensus of half of the runs, from 0 to 1. It estimates the cosine to the
    /// nearest feature of an independent consensus. It is absent for a single run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reproducibility: Option<f64>,
    /// Number of runs of a consensus that have a feature with a cosine of at least 0.8 with it. It is absent for a single run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_in: Option<u32>,
}
