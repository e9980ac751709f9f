//! The choices of solvers and starts.

use clap::ValueEnum;
use unmix::Solver;

/// The solvers, and what to choose them for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SolverOption {
    /// Projected least squares and coordinate descent: fast, good features
    #[default]
    ProjectedLs,
    /// Coordinate descent with a penalty on coefficients: the objective never rises, and coefficients are sparser
    Hals,
    /// Projected least squares and multiplicative updates
    Mu,
    /// The published iteration, for comparison
    Paper,
}

impl SolverOption {
    /// The solver as the library calls it.
    pub fn solver(self) -> Solver {
        match self {
            SolverOption::ProjectedLs => Solver::ProjectedLs,
            SolverOption::Hals => Solver::Hals,
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
