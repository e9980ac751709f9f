//! What a fit returns.

use serde::{Deserialize, Serialize};

use crate::{DenseMatrix, Options, StopReason};

/// X ≈ Y Z with Y ≥ 0 and sparse rows of Z.
///
/// Where the scale lies depends on the solver. [`Solver::Hals`](crate::Solver::Hals) keeps features at norm 1, and coefficients
/// carry the magnitude of the activations. The other solvers bring the columns of Y to unit norm before each update, so
/// features carry the magnitude and coefficients are of the order 1/√n.
#[derive(Clone, Debug)]
pub struct Factorization {
    /// Features Z, [K, d], at most m nonzeros a row.
    pub features: DenseMatrix,
    /// Coefficients Y ≥ 0, [n, K].
    pub coefficients: DenseMatrix,
    /// How the fit went.
    pub summary: FitSummary,
}

/// How a fit went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitSummary {
    /// ‖X − YZ‖² / ‖X‖² of the returned factors: the residual of each token, taken neuron by neuron, added in f64.
    pub relative_error: f64,
    /// How far the returned factors are from where neither can be improved alone; absent in fits of older versions.
    #[serde(default)]
    pub optimality: Option<Optimality>,
    /// Iterations that were run.
    pub iterations: u32,
    /// The iteration (from 1) whose factors are returned.
    pub best_iteration: u32,
    /// Why the fit ended.
    pub stop_reason: StopReason,
    /// Wall time of the fit in seconds, initialisation included, loading excluded.
    pub seconds: f64,
    /// `cpu` or `gpu`.
    pub engine: String,
    /// The adapter's or processor's name.
    pub adapter: String,
    /// Tokens n.
    pub tokens: u64,
    /// Neurons d.
    pub neurons: u32,
    /// Nonzeros m that each feature keeps.
    pub kept_per_feature: u32,
    /// ‖X‖².
    pub squared_norm: f64,
    /// Squared error ‖X − YZ‖² after each iteration.
    pub loss_curve: Vec<f64>,
    /// Wall time in seconds from the fit's begin until its start was there; 0 in fits of older versions.
    #[serde(default)]
    pub start_seconds: f64,
    /// Wall time in seconds from the fit's begin until each loss of `loss_curve` was known; empty in fits of older versions.
    /// The medians of their differences are the time of an iteration, since the host waits for one loss after the other.
    #[serde(default)]
    pub seconds_curve: Vec<f64>,
    /// The objective that [`Solver::Hals`](crate::Solver::Hals) never raises, ½‖X − YZ‖² + Σ α‖xᵢ‖yᵢₖ, after each
    /// iteration; empty for the other solvers.
    pub objective_curve: Vec<f64>,
    /// Features that were revived: (iteration, feature).
    pub revived: Vec<(u32, u32)>,
    /// Features whose coefficients are all zero in the end.
    pub dead_features: Vec<u32>,
    /// Statistics of each feature.
    pub feature_statistics: Vec<FeatureStatistics>,
    /// What was asked for.
    pub options: Options,
}

/// How far factors are from a point that satisfies the Karush-Kuhn-Tucker conditions, as shares of ‖X‖ that do not depend on how the
/// factors are scaled against each other. R = X − YZ is the residual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Optimality {
    /// √(Σᵢₖ gᵢₖ²) / ‖X‖, where gᵢₖ = ⟨rᵢ, z_k⟩ / ‖z_k‖, less the penalty's α‖xᵢ‖ for [`Solver::Hals`](crate::Solver::Hals), is
    /// what is still to be gained by a coefficient; a coefficient of zero counts where it should grow. 0 where the coefficients are
    /// the best that there are for the features.
    pub coefficients: f64,
    /// √(Σₖ ‖(YᵀR)ₖ‖² / ‖y_k‖²) / ‖X‖ over the neurons that each feature keeps. 0 where the features are the best that there are for
    /// the coefficients and the kept neurons. [`Solver::ProjectedLs`](crate::Solver::ProjectedLs) cuts least squares over all
    /// neurons, and does not come to 0.
    pub features: f64,
}

/// Statistics of one feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeatureStatistics {
    /// ‖y_k‖²‖z_k‖² / ‖X‖²: energy of the feature's own part of the reconstruction. Parts overlap, so shares need not sum
    /// to the explained variance.
    pub energy_share: f64,
    /// By how much the relative error would rise if the feature were removed and nothing else changed.
    pub explained_share: f64,
    /// Share of tokens whose coefficient is above zero.
    pub active_share: f64,
    /// Largest coefficient.
    pub max_coefficient: f32,
    /// Euclidean norm of the feature.
    pub norm: f64,
    /// Nonzeros of the feature.
    pub nonzeros: u32,
}
