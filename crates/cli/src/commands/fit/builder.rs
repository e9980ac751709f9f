//! Turns the options of the command line into what is computed.

use std::path::Path;

use clap::ValueEnum;
use unmix::DenseMatrix;
use unmix_data::read_matrix;
use unmix_fitting::FitOptions;

use super::args::NewFitArgs;
use super::choices::InitOption;
use super::solver_args::SolverArgs;
use crate::failure::{Failure, IN_FLAGS};

/// Refuses options that contradict each other.
pub fn check(args: &NewFitArgs, solver: &SolverArgs) -> Result<(), Failure> {
    if solver.init == Some(InitOption::Given) && args.init_coefficients.is_none() {
        return Err(Failure::Usage(
            "--init given: needs coefficients to start from; add --init-coefficients FILE".to_owned(),
        ));
    }
    if let (Some(init), Some(_)) = (solver.init.filter(|&init| init != InitOption::Given), &args.init_coefficients) {
        let name = init.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        return Err(Failure::Usage(format!("--init {name}: contradicts --init-coefficients; leave out one of them")));
    }
    check_solver(solver, args.init_coefficients.is_some())
}

/// Refuses options of the solver that contradict each other, or that the fit would ignore.
pub fn check_solver(args: &SolverArgs, starts_from_coefficients: bool) -> Result<(), Failure> {
    args.options().check(starts_from_coefficients, &IN_FLAGS).map_err(Failure::Usage)
}

/// The options as a fit of activations with this number of tokens takes them.
pub fn options(args: &NewFitArgs, solver: &SolverArgs, tokens: u64) -> Result<FitOptions, Failure> {
    let given = args.init_coefficients.as_deref();
    let init_coefficients = given.map(|given| initial_coefficients(given, tokens, args.rank)).transpose()?;
    let NewFitArgs { rank, sparsity, runs, keep_runs, .. } = *args;
    Ok(FitOptions { rank, sparsity, init_coefficients, solver: solver.options(), runs, keep_runs })
}

/// Reads `FILE` or `FILE:TENSOR`.
fn named_matrix(given: &str) -> Result<DenseMatrix, Failure> {
    let (path, tensor) = match given.rsplit_once(':') {
        // A colon may also be part of a path, as in `C:\start.npy`.
        Some((path, tensor)) if !Path::new(given).exists() && !tensor.contains(['/', '\\']) && !path.is_empty() => {
            (path, Some(tensor))
        }
        _ => (given, None),
    };
    read_matrix(path, tensor).map_err(|error| match error {
        unmix_data::Error::AmbiguousTensor { .. } => Failure::Usage(format!("{error}, as {path}:NAME")),
        other => other.into(),
    })
}

fn initial_coefficients(given: &str, tokens: u64, rank: u32) -> Result<DenseMatrix, Failure> {
    let matrix = named_matrix(given)?;
    if (matrix.rows as u64, matrix.columns as u64) != (tokens, rank.into()) {
        return Err(Failure::Usage(format!(
            "--init-coefficients {given}: the matrix is {} × {}, but {tokens} tokens × {rank} features are needed",
            matrix.rows, matrix.columns
        )));
    }
    if let Some(at) = matrix.values.iter().position(|&y| y < 0.0) {
        return Err(Failure::Usage(format!(
            "--init-coefficients {given}: {} at token {}, feature {}; coefficients are at least 0",
            matrix.values[at],
            at / matrix.columns,
            at % matrix.columns
        )));
    }
    Ok(matrix)
}
