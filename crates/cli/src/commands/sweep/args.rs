//! The command line of `unmix sweep`.

use std::path::PathBuf;

use clap::Args;

use crate::activation_args::ActivationArgs;
use crate::commands::fit::SolverArgs;
use crate::memory_args::MemoryArgs;
use crate::number_args::share;
use crate::token_text::TextArgs;

/// Try several numbers of features, and recommend one
///
/// Fits the activations with each number of features and each sparsity, with several seeds. For each it measures the
/// error, the error on held-out tokens and neurons, and how many features come back with other seeds. Then it tries some
/// numbers between, around the best, and recommends one. See docs/choosing.md.
///
/// The held-out error is that of bi-cross-validation: the features come from other prompts, the coefficients of a token
/// from a random half of the neurons, and the error is that on the other half. It rises when there are too many features.
///
/// Writes sweep.json, sweep.csv and sweep.html into a folder. Each finished point is stored at once. If the command is
/// stopped, the same command goes on with what is missing. It may then ask for more ranks or sparsities.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  unmix sweep activations.safetensors --out sweep
  unmix sweep activations.safetensors --rank 25,50,100,200,400 --sparsity 0.01,0.05 --seeds 5 --out sweep
  unmix sweep layer-*.safetensors --each --out layers
  unmix sweep activations.safetensors --reports --vocabulary tokenizer.json --out sweep")]
pub struct SweepArgs {
    #[command(flatten)]
    pub activations: ActivationArgs,

    /// Folder to write. If it holds an unfinished sweep with the same options, the sweep goes on
    #[arg(long, short, value_name = "DIR")]
    pub out: PathBuf,

    /// Each file is a layer of its own. Otherwise all files are read as one matrix
    #[arg(long)]
    pub each: bool,

    /// Numbers of features to try [default: 25,50,100,200,400, as far as the activations have 8 tokens and 2 neurons for
    /// each feature]
    #[arg(long, short = 'k', value_name = "K,K,…", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    pub rank: Vec<u32>,

    /// Shares of the neurons that each feature keeps, to try with each number of features [default: that of `unmix fit`]
    #[arg(long, short = 'p', value_name = "SHARE,SHARE,…", value_delimiter = ',', value_parser = share, allow_negative_numbers = true)]
    pub sparsity: Vec<f64>,

    /// Fits of each point with seeds of their own, to see which features come back
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub seeds: u32,

    /// Parts of the prompts that are held out in turn, or of the rows if there are no prompts; 0 holds nothing out
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub folds: u32,

    /// Most numbers of features to try between those of --rank, around the best
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub refine: u32,

    /// Keep the fits with all tokens, each in a folder as `unmix fit` writes it
    #[arg(long)]
    pub keep_fits: bool,

    /// Write a report about one fit of each point, and link it on the page; keeps the fits as well. See `unmix report` for more
    #[arg(long)]
    pub reports: bool,

    #[command(flatten)]
    pub text: TextArgs,

    #[command(flatten)]
    pub solver: SolverArgs,

    #[command(flatten)]
    pub memory: MemoryArgs,
}
