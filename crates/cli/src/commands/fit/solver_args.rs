//! The options of the solver, which `unmix fit` and `unmix sweep` share.

use clap::Args;
use unmix_fitting::SolverOptions;

use super::choices::{InitOption, PresetOption, SolverOption};
use crate::number_args::at_least_zero;

/// How a fit is computed, whatever its number of features is.
#[derive(Clone, Debug, Args)]
pub struct SolverArgs {
    /// Settings that belong together; each of them can be changed by its own option
    #[arg(long, value_enum, value_name = "PRESET", help_heading = "Solver")]
    pub preset: Option<PresetOption>,

    /// How features and coefficients are updated [default: hals]
    #[arg(long, value_enum, value_name = "SOLVER", help_heading = "Solver")]
    pub solver: Option<SolverOption>,

    /// Weight of the penalty on coefficients, for --solver hals; larger makes them sparser
    /// [default: 0.06 up to 100 features, then 0.06 * (100 / rank)^(1/4)]
    #[arg(long, value_name = "ALPHA", value_parser = at_least_zero, allow_negative_numbers = true, help_heading = "Solver")]
    pub penalty: Option<f64>,

    /// Where the fit starts [default: kmeans, or given with --init-coefficients]
    #[arg(long, value_enum, value_name = "START", help_heading = "Solver")]
    pub init: Option<InitOption>,

    /// Seed of everything random; the same seed on the same engine and device gives the same bits
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Solver")]
    pub seed: u64,

    /// Most iterations [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Solver")]
    pub max_iterations: Option<u32>,

    /// Stop when the error falls by less than this share of itself within --patience iterations, or with hals the error
    /// and penalty together; 0 runs them all [default: 1e-3]
    #[arg(long, value_name = "SHARE", value_parser = at_least_zero, allow_negative_numbers = true, help_heading = "Solver")]
    pub tolerance: Option<f64>,

    /// Iterations over which the tolerance is judged [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Solver")]
    pub patience: Option<u32>,

    /// Ridge of the least-squares step, as a share of the Gram matrix's mean diagonal [default: 1e-7; with --solver paper an
    /// absolute 1e-6]
    #[arg(long, value_name = "RIDGE", value_parser = at_least_zero, allow_negative_numbers = true, help_heading = "Solver")]
    pub ridge: Option<f64>,

    /// Updates of the coefficients in each iteration; the first one after a warm-up has twice as many [default: 2, or 4
    /// with --solver mu; always 1 with --solver paper]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Solver")]
    pub sweeps: Option<u32>,

    /// How far the features are moved beyond the least-squares solution before they are cut, as a share of the step
    /// that leads to it; below 1; for --solver projected-ls [default: 0.4]
    #[arg(long, value_name = "SHARE", value_parser = at_least_zero, allow_negative_numbers = true, help_heading = "Solver")]
    pub relaxation: Option<f64>,

    /// Iterations on a sample of the tokens before those of the fit, for --init kmeans with --solver hals or projected-ls; the
    /// penalty of hals falls meanwhile, from 0.36 on; with fewer than 75 tokens for each feature, projected-ls has none, and
    /// those of hals see all tokens [default: 22, or 8 without a penalty]
    #[arg(long, value_name = "N", help_heading = "Solver")]
    pub warm_up: Option<u32>,

    /// Find the coefficients above zero again at the end, without the penalty of --solver hals, which makes them smaller;
    /// the error falls, and the features stay the same; --runs always does so
    #[arg(long, help_heading = "Solver")]
    pub unshrink: bool,

    /// Refit the values of the features at the end; the error falls a little, and the coefficients stay the same
    #[arg(long, help_heading = "Solver")]
    pub debias: bool,

    /// Leave features dead that no token uses any more, instead of starting them anew
    #[arg(long, help_heading = "Solver")]
    pub no_revive: bool,
}

impl SolverArgs {
    /// The options as a fit takes them.
    pub fn options(&self) -> SolverOptions {
        SolverOptions {
            preset: self.preset.map(PresetOption::preset),
            solver: self.solver.map(SolverOption::solver),
            penalty: self.penalty,
            init: self.init.map(InitOption::init),
            seed: self.seed,
            max_iterations: self.max_iterations,
            tolerance: self.tolerance,
            patience: self.patience,
            ridge: self.ridge,
            sweeps: self.sweeps,
            relaxation: self.relaxation,
            warm_up: self.warm_up,
            unshrink: self.unshrink,
            debias: self.debias,
            no_revive: self.no_revive,
        }
    }
}
