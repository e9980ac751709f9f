//! The command line of `unmix fit`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Command, Id};
use unmix::Consensus;
use unmix_fitting::parse_time;

use super::solver_args::SolverArgs;
use crate::activation_args::ActivationArgs;
use crate::memory_args::MemoryArgs;
use crate::number_args::share;

/// Factorize activations into sparse features
///
/// Reads activations from one file, or from several as one matrix. They are tokens × neurons, or batch × sequence ×
/// neurons with the attention mask beside them, in safetensors or npy files with f32, f16, bf16 or f64 numbers. Writes
/// a folder with factorization.safetensors (features and coefficients) and run.json (everything about the run).
///
/// Ctrl-C, SIGTERM and SIGHUP stop after the current iteration, save the best features so far, and leave a checkpoint.
/// A second signal ends the program at once.
#[derive(Debug, Args)]
#[command(
    override_usage = "unmix fit [OPTIONS] --rank <K> --out <DIR> <FILE>...\n       unmix fit --resume <DIR> [--memory <SIZE>]"
)]
#[command(mut_arg("files", |files| files.required(false).required_unless_present("resume")))]
#[command(mut_arg("resume", |resume| resume.conflicts_with_all(ids_of_a_new_fit())))]
#[command(after_long_help = "Examples:
  unmix fit activations.safetensors --rank 100 --out fit
  unmix fit shards/ --rank 400 --out fit
  unmix fit activations.npy --rank 400 --penalty 0.07 --out fit
  unmix fit activations.npy --rank 100 --preset paper --out published
  unmix fit a.safetensors --rank 6 --solver paper --tolerance 0 --max-iterations 20 \\
      --init-coefficients start.safetensors:coefficients --out from-start
  unmix fit activations.safetensors --rank 100 --runs auto --out fit
  unmix fit shards/ --rank 400 --memory 8GiB --out fit
  unmix fit --resume fit")]
pub struct FitArgs {
    #[command(flatten)]
    pub activations: ActivationArgs,

    // This group must not contain another group. Otherwise clap never counts it as present.
    #[command(flatten)]
    pub new: Option<NewFitArgs>,

    #[command(flatten)]
    pub solver: SolverArgs,

    #[command(flatten)]
    pub memory: MemoryArgs,

    /// Go on with the unfinished fit of the folder DIR, from its latest checkpoint. On the same engine and device, the
    /// result is the same as without the interruption. The options of the fit are those with which it began, but for --memory
    /// and --stream, which may be given anew
    #[arg(long, value_name = "DIR", help_heading = "Checkpoints")]
    pub resume: Option<PathBuf>,
}

/// The arguments with which a fit begins, and which it cannot be given when it goes on. They are named one by one, because clap's error for
/// a conflict with a group lists the whole group.
fn ids_of_a_new_fit() -> Vec<Id> {
    let command = ActivationArgs::augment_args(Command::new("fit"));
    let command = SolverArgs::augment_args(NewFitArgs::augment_args(command));
    command.get_arguments().map(|argument| argument.get_id().clone()).collect()
}

/// The options of a new fit.
#[derive(Clone, Debug, Args)]
pub struct NewFitArgs {
    /// Number of features
    #[arg(long, short = 'k', value_name = "K", required = false, required_unless_present = "resume")]
    pub rank: u32,

    /// Folder to write; it must not exist yet
    #[arg(long, short, value_name = "DIR", required = false, required_unless_present = "resume")]
    pub out: PathBuf,

    /// Replace an earlier fit in that folder
    #[arg(long)]
    pub force: bool,

    /// Share of the neurons that each feature keeps, above 0 and up to 1 [default: 140 neurons, but at most 20% and at
    /// least 1% of all; 1% with solvers other than hals]
    #[arg(long, short = 'p', value_name = "SHARE", value_parser = share, allow_negative_numbers = true)]
    pub sparsity: Option<f64>,

    /// Start from these coefficients (tokens × features, at least 0), as FILE or FILE:TENSOR
    #[arg(long, value_name = "FILE[:TENSOR]", help_heading = "Solver")]
    pub init_coefficients: Option<String>,

    /// Save the features that R short runs from independent starts agree on, instead of those of one run: from 1 to 100, or
    /// `auto` for 30. Each feature says how well the runs agree on it. Each run has 10 iterations, and 4 more if the runs
    /// agree too little, or exactly --max-iterations
    #[arg(long, value_name = "R", value_parser = runs, help_heading = "Runs")]
    pub runs: Option<u32>,

    /// Keep each run as well, as a fit of its own: in the folders 01, 02, … of DIR.runs. `unmix features` and `unmix
    /// compare` open them
    #[arg(long, requires = "runs", help_heading = "Runs")]
    pub keep_runs: bool,

    /// Take the sums over the tokens in N segments, and add them in a fixed order. The result then has the same bits as that of
    /// `unmix-mpi`, which takes 8 segments on up to 8 ranks [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096), help_heading = "Several machines")]
    pub segments: Option<u32>,

    /// Least time between two checkpoints, e.g. 30s, 5m or 100ms; 0 takes none. A fit can go on from a checkpoint with
    /// `--resume`. Checkpoints are in the folder DIR.partial until the fit is complete [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = "Checkpoints")]
    pub checkpoint_every: Option<Duration>,
}

/// A number of runs.
fn runs(text: &str) -> Result<u32, String> {
    if text == "auto" {
        return Ok(Consensus::RUNS);
    }
    let expected = || format!("a number from 1 to {} is needed, or `auto`", Consensus::MOST_RUNS);
    text.parse().ok().filter(|runs| (1..=Consensus::MOST_RUNS).contains(runs)).ok_or_else(expected)
}
