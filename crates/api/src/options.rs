//! What a fit is asked to do.

use serde::{Deserialize, Serialize};

/// How features and coefficients are updated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// Projected least squares for the features, coordinate descent (HALS) for the coefficients.
    #[default]
    ProjectedLs,
    /// Hierarchical alternating least squares for both, with a penalty on the coefficients' sum: its objective never rises.
    Hals,
    /// Projected least squares for the features, several multiplicative updates for the coefficients.
    Mu,
    /// The published iteration of Shafran, Geiger and Geva (ACL 2026), for parity.
    Paper,
}

impl Solver {
    /// All solvers.
    pub const ALL: [Solver; 4] = [Solver::ProjectedLs, Solver::Hals, Solver::Mu, Solver::Paper];

    /// The name used on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Solver::ProjectedLs => "projected-ls",
            Solver::Hals => "hals",
            Solver::Mu => "mu",
            Solver::Paper => "paper",
        }
    }
}

/// Where a fit starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// k-means on rows of unit norm (three Lloyd steps on a sample of the tokens): the features start as the clusters'
    /// directions, cut; with the multiplicative solvers, each token starts with its own cluster's coefficient.
    #[default]
    Kmeans,
    /// Uniform on [0, 1).
    Random,
    /// Positive and negative parts of the leading left singular vectors (randomized truncated SVD).
    Svd,
    /// Coefficients given by the caller.
    Given,
}

impl Init {
    /// The name used on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Init::Kmeans => "kmeans",
            Init::Random => "random",
            Init::Svd => "svd",
            Init::Given => "given",
        }
    }
}

/// Everything that determines a fit besides the activations and the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Number of features K.
    pub rank: u32,
    /// Share p of a feature's neurons that are kept: m = max(1, ⌈p·d⌉) nonzeros a feature. In (0, 1].
    pub sparsity: f64,
    /// The solver.
    pub solver: Solver,
    /// Weight α of the penalty Σᵢₖ α‖xᵢ‖₂·yᵢₖ; used by [`Solver::Hals`] alone.
    pub penalty: f64,
    /// Where the fit starts.
    pub init: Init,
    /// Seed of everything random.
    pub seed: u64,
    /// Most iterations.
    pub max_iterations: u32,
    /// Stop when the error has fallen by less than this share within `patience` iterations; 0 runs all iterations.
    pub tolerance: f64,
    /// Iterations over which `tolerance` is judged.
    pub patience: u32,
    /// Ridge of the least-squares step as a share of the coefficient Gram's mean diagonal ([`Solver::Paper`]: absolute).
    pub ridge: f64,
    /// Updates of the coefficients in an iteration: HALS sweeps, or multiplicative updates for [`Solver::Mu`].
    /// Twice as many in the first pass after a warm-up.
    pub sweeps: u32,
    /// Over-relaxation β of the features, in [0, 1): W + β(W − Z) is cut rather than the least-squares solution W, where Z are the
    /// features before; 0 but for [`Solver::ProjectedLs`].
    #[serde(default)]
    pub relaxation: f64,
    /// Iterations on a sample of the tokens before the first pass over all of them; only for
    /// [`Solver::ProjectedLs`] from a start by k-means, with 75 tokens for each feature.
    #[serde(default)]
    pub warm_up: u32,
    /// Replace features whose coefficients are all zero by the residual of a token drawn by its squared residual.
    pub revive: bool,
    /// Return the iterate of least error rather than the last one.
    pub keep_best: bool,
    /// Least squares of each neuron on its kept features at the end, coefficients unchanged.
    pub debias: bool,
}

impl Options {
    /// Nonzeros a feature may have among `neurons`: m = max(1, ⌈p·d⌉), at most d.
    pub fn kept(&self, neurons: u32) -> u32 {
        // A product such as 0.05 * 100 = 5.000000000000001 must not be rounded up.
        let share = self.sparsity * f64::from(neurons);
        ((share - share * 1e-12).ceil() as u32).clamp(1, neurons.max(1))
    }
}

/// Why a fit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The error fell by less than the tolerance within `patience` iterations.
    Converged,
    /// All iterations were used.
    MaxIterations,
    /// The progress callback asked to stop.
    Interrupted,
    /// An iteration overflowed; the best one before it is returned.
    Diverged,
}

impl StopReason {
    /// The name used in files.
    pub const fn name(self) -> &'static str {
        match self {
            StopReason::Converged => "converged",
            StopReason::MaxIterations => "max-iterations",
            StopReason::Interrupted => "interrupted",
            StopReason::Diverged => "diverged",
        }
    }
}
