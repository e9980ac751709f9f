//! The command line as a whole: all commands.

use clap::{Parser, Subcommand};

use crate::commands::{
    bench, compare, concepts, demo, doctor, encode, export, features, fit, inspect, lens, report, sweep, tree, tune,
};
use crate::shared_args::SharedArgs;

/// Factorize the activations of a neural network into sparse, readable features.
///
/// unmix takes a matrix of activations (tokens × neurons) and writes it as coefficients × features by semi-nonnegative
/// matrix factorization. Each feature is a small group of neurons. Each token uses a few features, with weights of at
/// least zero. You read what a feature means from the tokens that use it most.
#[derive(Debug, Parser)]
#[command(
    name = "unmix",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = EXIT_CODES,
    after_long_help = LONG_HELP
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub shared: SharedArgs,
}

const EXIT_CODES: &str = "Start with `unmix demo`; `unmix COMMAND --help` explains a command and shows an example.";

const LONG_HELP: &str = "\
Start with:
  unmix demo                                   see features of a small language model, in seconds
  unmix inspect activations.safetensors        look at your own file
  unmix fit activations.safetensors --rank 100 --out fit
  unmix features fit --vocabulary tokenizer.json
                                               read the features of that fit

Data go to stdout, log and progress to stderr.
Exit codes: 0 ok, 1 failed, 2 wrong usage or input, 3 no suitable device, 4 out of memory,
130, 143, 129 interrupted by Ctrl-C, SIGTERM, SIGHUP.";

/// What `unmix` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Demo(demo::DemoArgs),
    Inspect(inspect::InspectArgs),
    Fit(fit::FitArgs),
    Sweep(sweep::SweepArgs),
    Features(features::FeaturesArgs),
    Lens(lens::LensArgs),
    Concepts(concepts::ConceptsArgs),
    Tree(tree::TreeArgs),
    Report(report::ReportArgs),
    Encode(encode::EncodeArgs),
    Compare(compare::CompareArgs),
    Export(export::ExportArgs),
    Doctor(doctor::DoctorArgs),
    Bench(bench::BenchArgs),
    Tune(tune::TuneArgs),
}

impl Command {
    /// The name of a command that computes nothing on an engine.
    pub fn without_engine(&self) -> Option<&'static str> {
        match self {
            Command::Features(_) => Some("features"),
            Command::Lens(_) => Some("lens"),
            Command::Concepts(_) => Some("concepts"),
            Command::Compare(_) => Some("compare"),
            Command::Export(_) => Some("export"),
            _ => None,
        }
    }
}
