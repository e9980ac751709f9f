//! Refuses options that mean nothing for several runs.

use unmix_fitting::check_runs;

use super::args::NewFitArgs;
use super::solver_args::SolverArgs;
use crate::failure::{Failure, IN_FLAGS};

/// Refuses options that mean nothing for several runs.
pub fn check(args: &NewFitArgs, solver: &SolverArgs) -> Result<(), Failure> {
    let Some(runs) = args.runs.filter(|&runs| runs > 1) else {
        if args.keep_runs {
            return Err(Failure::Usage(
                "--keep-runs: one run is the fit itself; ask for more --runs, or leave it out".to_owned(),
            ));
        }
        return Ok(());
    };
    check_runs(runs, &solver.options(), args.init_coefficients.is_some(), &IN_FLAGS).map_err(Failure::Usage)
}
