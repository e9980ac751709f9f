//! Fuzzes the readers of unmix. `cargo xtask fuzz` and the tests start it.

mod driver;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use unmix_fuzz::Target;

/// Try hostile inputs on a reader of unmix.
#[derive(Parser)]
#[command(name = "unmix-fuzz")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Try inputs that are made from a seed, until one fails
    Run(RunArgs),
    /// Try the inputs of `run` in this process
    #[command(hide = true)]
    Worker(driver::WorkerArgs),
    /// Try the input in a file in this process
    #[command(hide = true)]
    Trial {
        /// The reader
        #[arg(value_parser = driver::target)]
        target: &'static Target,
        /// The input
        file: PathBuf,
    },
    /// Try the input in a file
    Execute {
        /// The reader
        #[arg(value_parser = driver::target)]
        target: &'static Target,
        /// The input
        file: PathBuf,
    },
    /// Make the failing input in a file shorter
    Minimize {
        /// The reader
        #[arg(value_parser = driver::target)]
        target: &'static Target,
        /// The input, which is overwritten
        file: PathBuf,
    },
    /// Write valid inputs to FOLDER/TARGET/
    Corpus {
        /// The folder
        folder: PathBuf,
    },
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    plan: driver::Plan,
    /// Where to keep an input that fails
    #[arg(long, value_name = "FOLDER", default_value = "target/fuzz-failures")]
    failures: PathBuf,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => driver::run(&args.plan, &args.failures),
        Command::Worker(args) => driver::work(&args),
        Command::Execute { target, file } => driver::execute(target, &file),
        Command::Trial { target, file } => std::fs::read(&file)
            .map(|input| unmix_fuzz::execute(target, &input))
            .map_err(|error| format!("{}: {error}", file.display())),
        Command::Minimize { target, file } => driver::minimize(target, &file),
        Command::Corpus { folder } => {
            unmix_fuzz::write_corpus(&folder).map_err(|error| format!("{}: {error}", folder.display()))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("unmix-fuzz: {message}");
            ExitCode::FAILURE
        }
    }
}
