//! `unmix-mpi`: the command of a process that computes a fit together with others.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::commands::fit::{self, FitArgs};
use crate::failure::Failure;
use crate::progress::Reporter;
use crate::ranks::Ranks;
use crate::shared_args::SharedArgs;
use crate::{allocator, begin, logging, threads};

/// Factorize activations on several machines
///
/// mpirun starts one process, called a rank, for each machine or GPU. Every rank reads its own share of the tokens, and all compute one
/// fit. The result is the same on any number of ranks of the same kind.
#[derive(Debug, Parser)]
#[command(
    name = "unmix-mpi",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    subcommand_required = true,
    mut_subcommand("fit", |fit| fit.override_usage(USAGE).after_long_help(EXAMPLES))
)]
struct RankCli {
    #[command(subcommand)]
    command: RankCommand,
    #[command(flatten)]
    shared: SharedArgs,
}

const USAGE: &str = "mpirun -n <N> unmix-mpi fit [OPTIONS] --rank <K> --out <DIR> <FILE>...
       mpirun -n <N> unmix-mpi fit --resume <DIR> [--memory <SIZE>]";

const EXAMPLES: &str = "Examples:
  mpirun -n 4 unmix-mpi fit shards/ --rank 400 --out fit
  srun unmix-mpi fit shards/ --rank 400 --engine gpu --out fit
  mpirun -n 2 unmix-mpi fit --resume fit";

#[derive(Debug, Subcommand)]
enum RankCommand {
    Fit(FitArgs),
}

/// How the command of a rank has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankEnd {
    /// The exit code.
    pub code: u8,
    /// Whether the other ranks do not know of it, so that they would wait for this one forever.
    pub is_alone: bool,
}

/// Runs the command line `arguments` of a rank, whose first entry is the program. Rank 0 reports and writes. A process can do so once.
pub fn main_of_rank(arguments: Vec<OsString>, ranks: &Ranks) -> RankEnd {
    let ended = |code| RankEnd { code, is_alone: false };
    let RankCli { command: RankCommand::Fit(args), shared } = match RankCli::try_parse_from(begin(arguments)) {
        Ok(cli) => cli,
        Err(error) => {
            if ranks.is_first() {
                // There is nobody to tell if this cannot be printed.
                let _ = error.print();
            }
            return ended(error.exit_code() as u8);
        }
    };
    let shared = if ranks.is_first() { shared } else { SharedArgs { quiet: true, json: false, verbose: 0, ..shared } };
    let mut reporter = if ranks.is_first() { Reporter::new(shared.progress, shared.quiet) } else { Reporter::silent() };
    logging::start(&shared, reporter.is_json());
    if reporter.is_json() {
        allocator::tell_in_json();
    }
    match threads::start().and_then(|()| fit::run(&args, &shared, &mut reporter, Some(ranks))) {
        Ok(()) => ended(0),
        Err(failure @ (Failure::OfRanks { .. } | Failure::Interrupted(_))) => {
            if ranks.is_first() {
                reporter.error(&failure);
            }
            ended(failure.exit_code())
        }
        Err(failure) => {
            eprintln!("error: {}: {failure}", ranks.name());
            RankEnd { code: failure.exit_code(), is_alone: true }
        }
    }
}
