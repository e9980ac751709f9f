//! The command line of `unmix fit`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::choices::{InitOption, PresetOption, SolverOption};
use crate::activation_args::ActivationArgs;
use crate::memory_args::MemoryArgs;
use crate::number_args::{at_least_zero, duration, share};

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
#[command(after_long_help = "Examples:
  unmix fit activations.safetensors --rank 100 --out fit
  unmix fit shards/ --rank 400 --out fit
  unmix fit activations.npy --rank 400 --penalty 0.07 --out fit
  unmix fit activations.npy --rank 100 --preset paper --out published
  unmix fit a.safetensors --rank 6 --solver paper --tolerance 0 --max-iterations 20 \\
      --init-coefficients start.safetensors:coefficients --out from-start
  unmix fit shards/ --rank 400 --memory 8GiB --out fit
  unmix fit --resume fit")]
pub struct FitArgs {
    #[command(flatten)]
    pub activations: ActivationArgs,

    // This group must not contain another group. Otherwise clap never counts it as present.
    #[command(flatten)]
    pub new: Option<NewFitArgs>,

    #[command(flatten)]
    pub memory: MemoryArgs,

    /// Go on with the unfinished fit of the folder DIR, from its latest checkpoint. On the same engine and device, the
    /// result is the same as without the interruption. The options of the fit are those with which it began, but for --memory
    /// and --stream, which may be given anew
    #[arg(long, value_name = "DIR", conflicts_with_all = ["files", "ChoiceArgs", "NewFitArgs"], help_heading = "Checkpoints")]
    pub resume: Option<PathBuf>,
}

/// The options of a new fit.
#[derive(Debug, Args)]
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

    /// Share of the neurons that each feature keeps, above 0 and up to 1 [default: 80 neurons, but at most 20% and at
    /// least 1% of all; 1% with solvers other than hals]
    #[arg(long, short = 'p', value_name = "SHARE", value_parser = share, allow_negative_numbers = true)]
    pub sparsity: Option<f64>,

    /// Settings that belong together; each of them can be changed by its own option
    #[arg(long, value_enum, value_name = "PRESET", help_heading = "Solver")]
    pub preset: Option<PresetOption>,

    /// How features and coefficients are updated [default: hals]
    #[arg(long, value_enum, value_name = "SOLVER", help_heading = "Solver")]
    pub solver: Option<SolverOption>,

    /// Weight of the penalty on coefficients, for --solver hals; larger makes them sparser [default: 0.06]
    #[arg(long, value_name = "ALPHA", value_parser = at_least_zero, allow_negative_numbers = true, help_heading = "Solver")]
    pub penalty: Option<f64>,

    /// Where the fit starts [default: kmeans, or given with --init-coefficients]
    #[arg(long, value_enum, value_name = "START", help_heading = "Solver")]
    pub init: Option<InitOption>,

    /// Start from these coefficients (tokens × features, at least 0), as FILE or FILE:TENSOR
    #[arg(long, value_name = "FILE[:TENSOR]", help_heading = "Solver")]
    pub init_coefficients: Option<String>,

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
    /// with --solver mu]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Solver")]
    pub sweeps: Option<u32>,

    /// How far the features are moved beyond the least-squares solution before they are cut, as a share of the step
    /// that leads to it; below 1 [default: 0.4 with --solver projected-ls, else 0]
    #[arg(long, value_name = "SHARE", value_parser = at_least_zero, allow_negative_numbers = true, help_heading = "Solver")]
    pub relaxation: Option<f64>,

    /// Iterations on a sample of the tokens before the first one over all of them [default: 8 with --init
    /// kmeans and --solver hals or projected-ls, if there are at least 75 tokens for each feature]
    #[arg(long, value_name = "N", help_heading = "Solver")]
    pub warm_up: Option<u32>,

    /// Refit the values of the features at the end; the error falls a little, and the coefficients stay the same
    #[arg(long, help_heading = "Solver")]
    pub debias: bool,

    /// Leave features dead that no token uses any more, instead of starting them anew
    #[arg(long, help_heading = "Solver")]
    pub no_revive: bool,

    /// Least time between two checkpoints, e.g. 30s, 5m or 100ms; 0 takes none. A fit can go on from a checkpoint with
    /// `--resume`. Checkpoints are in the folder DIR.partial until the fit is complete
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = duration, help_heading = "Checkpoints")]
    pub checkpoint_every: Duration,
}
