//! The options of a fit, and why a fit ended.

use serde::{Deserialize, Serialize};

/// How a fit updates features and coefficients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// Hierarchical alternating least squares for both, with a penalty on the sum of the coefficients. Features whose cosine is
    /// above 0.8 push one another apart. As long as there are none, the objective never rises.
    #[default]
    Hals,
    /// Projected least squares for the features, coordinate descent (HALS) for the coefficients.
    ProjectedLs,
    /// Projected least squares for the features, several multiplicative updates for the coefficients.
    Mu,
    /// The published iteration of Shafran, Geiger and Geva (ACL 2026), to reproduce their results.
    Paper,
}

impl Solver {
    /// All solvers.
    pub const ALL: [Solver; 4] = [Solver::Hals, Solver::ProjectedLs, Solver::Mu, Solver::Paper];

    /// The name used on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Solver::ProjectedLs => "projected-ls",
            Solver::Hals => "hals",
            Solver::Mu => "mu",
            Solver::Paper => "paper",
        }
    }

    /// What a fit lowers, and stops by: the `objective`, which has the penalty in it, or the `error` alone.
    pub const fn minimizes(self) -> &'static str {
        match self {
            Solver::Hals => "objective",
            Solver::ProjectedLs | Solver::Mu | Solver::Paper => "error",
        }
    }
}

/// Where a fit starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// k-means on rows of unit norm: three Lloyd steps on a sample of the tokens. The features start as the directions of the clusters, cut
    /// to m neurons. With the multiplicative solvers, each token instead starts with the coefficient of its own cluster.
    #[default]
    Kmeans,
    /// Coefficients drawn uniformly from [0, 1).
    Random,
    /// Coefficients from the positive and negative parts of the leading left singular vectors (randomized truncated SVD).
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

/// Everything that determines a fit, except the activations and the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Number of features K.
    pub rank: u32,
    /// Share p of the neurons that each feature keeps, in (0, 1]. A feature has m = max(1, ⌈p·d⌉) nonzeros.
    pub sparsity: f64,
    /// The solver.
    pub solver: Solver,
    /// Weight α of the penalty Σᵢₖ α‖xᵢ‖₂·yᵢₖ. Only [`Solver::Hals`] uses it.
    pub penalty: f64,
    /// Where the fit starts.
    pub init: Init,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Largest number of iterations.
    pub max_iterations: u32,
    /// The fit stops when what it minimizes has fallen by less than this share of itself within `patience` iterations: the objective if
    /// there is a penalty, else the error. With 0 it runs all iterations.
    pub tolerance: f64,
    /// Number of iterations in which the error or objective must fall by `tolerance`.
    pub patience: u32,
    /// Ridge of the least-squares step, as a share of the mean diagonal of the coefficients' Gram matrix. For [`Solver::Paper`] it is an
    /// absolute number.
    pub ridge: f64,
    /// Number of updates of the coefficients in an iteration: HALS sweeps, or multiplicative updates for [`Solver::Mu`]. The first pass
    /// after a warm-up does twice as many.
    pub sweeps: u32,
    /// Over-relaxation β of the features, in [0, 1). With W the least-squares solution and Z the features before, W + β(W − Z) is cut
    /// instead of W. It is 0 for every solver except [`Solver::ProjectedLs`].
    #[serde(default)]
    pub relaxation: f64,
    /// Number of warm-up iterations, before the first iteration of the fit. It is 0 for starts other than k-means, and for [`Solver::Mu`] and
    /// [`Solver::Paper`]. Without a penalty, and with fewer than 75 tokens for each feature, none are run.
    #[serde(default)]
    pub warm_up: u32,
    /// Whether a feature whose coefficients are all zero is replaced by the residual of a token. The token is drawn with a probability
    /// proportional to its squared residual.
    pub revive: bool,
    /// Whether the iterate with the least error is returned instead of the last one.
    pub keep_best: bool,
    /// Whether the coefficients above zero are found again at the end without the penalty. Only [`Solver::Hals`] uses it.
    #[serde(default)]
    pub unshrink: bool,
    /// Whether the values of the features are refitted at the end: each neuron by least squares on the features that keep it. The
    /// coefficients stay as they are.
    pub debias: bool,
}

impl Options {
    /// Number m of nonzeros that a feature may have among `neurons` neurons d: max(1, ⌈p·d⌉), and at most d.
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
    /// The error or objective fell by less than the tolerance within `patience` iterations.
    Converged,
    /// The largest number of iterations was reached.
    MaxIterations,
    /// The progress callback asked to stop.
    Interrupted,
    /// The loss of an iteration was not finite. The best iteration before it is returned.
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
