//! Turns the options of the command line into the library's builder.

use std::path::Path;

use clap::ValueEnum;
use unmix::{DenseMatrix, Init, SemiNmf, Solver};
use unmix_data::read_matrix;

use super::args::NewFitArgs;
use super::choices::InitOption;
use super::solver_args::SolverArgs;
use crate::failure::Failure;

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
    check_solver(solver)
}

/// Refuses options of the solver that contradict each other.
pub fn check_solver(args: &SolverArgs) -> Result<(), Failure> {
    let solver = preset(args, 1).options(0).solver;
    if args.penalty.is_some() && solver != Solver::Hals {
        return Err(Failure::Usage(
            "--penalty: only --solver hals has a penalty; choose that solver or leave it out".to_owned(),
        ));
    }
    Ok(())
}

/// The builder with the preset and the solver.
fn preset(args: &SolverArgs, rank: u32) -> SemiNmf {
    let builder = args.preset.map_or_else(|| SemiNmf::new(rank), |preset| preset.builder(rank));
    match args.solver {
        Some(solver) => builder.solver(solver.solver()),
        None => builder,
    }
}

/// The builder that the options describe, for activations with this number of tokens.
pub fn builder(args: &NewFitArgs, solver: &SolverArgs, tokens: u64) -> Result<SemiNmf, Failure> {
    let given =
        args.init_coefficients.as_deref().map(|given| initial_coefficients(given, tokens, args.rank)).transpose()?;
    let mut builder = solver_builder(solver, args.rank);
    if let Some(share) = args.sparsity {
        builder = builder.sparsity(share);
    }
    Ok(match given {
        Some(coefficients) => builder.init_coefficients(coefficients),
        None => builder,
    })
}

/// The builder that the options of the solver describe.
pub fn solver_builder(args: &SolverArgs, rank: u32) -> SemiNmf {
    let mut builder = preset(args, rank).seed(args.seed).revive(!args.no_revive).debias(args.debias);
    if let Some(iterations) = args.max_iterations {
        builder = builder.max_iterations(iterations);
    }
    if let Some(tolerance) = args.tolerance {
        builder = builder.tolerance(tolerance);
    }
    if let Some(iterations) = args.patience {
        builder = builder.patience(iterations);
    }
    if let Some(alpha) = args.penalty {
        builder = builder.penalty(alpha);
    }
    if let Some(ridge) = args.ridge {
        builder = builder.ridge(ridge);
    }
    if let Some(sweeps) = args.sweeps {
        builder = builder.sweeps(sweeps);
    }
    if let Some(relaxation) = args.relaxation {
        builder = builder.relaxation(relaxation);
    }
    if let Some(iterations) = args.warm_up {
        builder = builder.warm_up(iterations);
    }
    match args.init {
        Some(InitOption::Random) => builder.init(Init::Random),
        Some(InitOption::Svd) => builder.init(Init::Svd),
        Some(InitOption::Kmeans) => builder.init(Init::Kmeans),
        // A start from coefficients is set where they are read.
        Some(InitOption::Given) | None => builder,
    }
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
