//! The choices of presets, solvers and starts.

use clap::ValueEnum;
use unmix::{Init, Solver};
use unmix_fitting::Preset;

/// Settings that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PresetOption {
    /// The published settings: --solver paper --init random --sparsity 0.01 --max-iterations 500 --tolerance 1e-9
    /// --patience 100
    Paper,
}

impl PresetOption {
    /// The preset as a fit takes it.
    pub fn preset(self) -> Preset {
        match self {
            PresetOption::Paper => Preset::Paper,
        }
    }
}

/// The solvers, and what to choose them for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SolverOption {
    /// Coordinate descent with a penalty on coefficients: selective features, none of them near copies
    #[default]
    Hals,
    /// Projected least squares and coordinate descent: few neurons in a feature, and dense coefficients
    ProjectedLs,
    /// Projected least squares and multiplicative updates
    Mu,
    /// The published iteration, for comparison
    Paper,
}

impl SolverOption {
    /// The solver as the library calls it.
    pub fn solver(self) -> Solver {
        match self {
            SolverOption::Hals => Solver::Hals,
            SolverOption::ProjectedLs => Solver::ProjectedLs,
            SolverOption::Mu => Solver::Mu,
            SolverOption::Paper => Solver::Paper,
        }
    }
}

/// Where a fit starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InitOption {
    /// Clusters of tokens by direction
    Kmeans,
    /// Uniform random numbers
    Random,
    /// Leading singular vectors
    Svd,
    /// The coefficients in --init-coefficients
    Given,
}

impl InitOption {
    /// The start as the library calls it.
    pub fn init(self) -> Init {
        match self {
            InitOption::Kmeans => Init::Kmeans,
            InitOption::Random => Init::Random,
            InitOption::Svd => Init::Svd,
            InitOption::Given => Init::Given,
        }
    }
}
