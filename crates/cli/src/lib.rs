//! The `unmix` command: factorize activations and read the features.
//!
//! Results go to stdout and everything else to stderr, so that stdout can be piped. Only [`main`] turns failures into
//! exit codes. This is a library so that the Python package has the command as well.

mod activation_args;
mod allocator;
mod arguments;
mod cli;
mod commands;
mod engine;
mod failure;
mod feature_table;
mod health_lines;
mod interrupt;
mod logging;
mod memory_args;
mod model;
mod number_args;
mod open_files;
mod output;
mod progress;
mod rank_main;
mod ranks;
mod shared_args;
mod source;
mod terminal;
mod threads;
mod token_text;

use std::ffi::OsString;

use clap::Parser;

pub use crate::allocator::EndingAllocator;
use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::progress::Reporter;
pub use crate::rank_main::{RankEnd, main_of_rank};
pub use crate::ranks::Ranks;
use crate::terminal::Marks;

/// Runs the command line `arguments`, whose first entry is the program, and returns the exit code. A process can do so once: signals,
/// threads and the log are those of the command from then on.
pub fn main(arguments: Vec<OsString>) -> u8 {
    let cli = Cli::try_parse_from(begin(arguments)).unwrap_or_else(|error| refuse(&error));
    let mut reporter = Reporter::new(cli.shared.progress, cli.shared.quiet);
    logging::start(&cli.shared, reporter.is_json());
    if reporter.is_json() {
        allocator::tell_in_json();
    }
    let Err(failure) = run(&cli, &mut reporter) else { return 0 };
    if !matches!(failure, Failure::ReaderGone) {
        reporter.error(&failure);
    }
    failure.exit_code()
}

/// What comes before anything else in a process.
fn begin(arguments: Vec<OsString>) -> &'static [OsString] {
    let arguments = arguments::set(arguments);
    quiet_vulkan();
    unmix_data::catch_bus_errors();
    open_files::raise_limit();
    arguments
}

fn run(cli: &Cli, reporter: &mut Reporter) -> Result<(), Failure> {
    if let Some(name) = cli.command.without_engine() {
        cli.shared.engine.refuse_gpu_for(&format!("`unmix {name}`"))?;
    }
    threads::start()?;
    match &cli.command {
        Command::Demo(args) => commands::demo::run(args, &cli.shared, reporter),
        Command::Inspect(args) => commands::inspect::run(args, &cli.shared),
        Command::Fit(args) => commands::fit::run(args, &cli.shared, reporter, None),
        Command::Sweep(args) => commands::sweep::run(args, &cli.shared, reporter),
        Command::Encode(args) => commands::encode::run(args, &cli.shared, reporter),
        Command::Features(args) => commands::features::run(args, &cli.shared),
        Command::Compare(args) => commands::compare::run(args, &cli.shared),
        Command::Tree(args) => commands::tree::run(args, &cli.shared, reporter),
        Command::Lens(args) => commands::lens::run(args, &cli.shared),
        Command::Concepts(args) => commands::concepts::run(args, &cli.shared),
        Command::Report(args) => commands::report::run(args, &cli.shared, reporter),
        Command::Export(args) => commands::export::run(args, &cli.shared, reporter),
        Command::Doctor(args) => commands::doctor::run(args, &cli.shared, reporter),
        Command::Bench(args) => commands::bench::run(args, &cli.shared, reporter),
        Command::Tune(args) => commands::tune::run(args, &cli.shared, reporter),
    }
}

/// Prints clap's message about the command line, or the help that was asked for, and ends the program.
fn refuse(error: &clap::Error) -> ! {
    // Arguments may be names of files, and clap repeats them unchanged. So clap gets them made fit for a terminal.
    let shown = arguments::all().iter().map(|arg| terminal::line(&arg.to_string_lossy(), Marks::Escaped));
    if let Err(shown) = Cli::try_parse_from(shown) {
        shown.exit();
    }
    eprint!("{}", terminal::lines(&error.render().to_string(), Marks::Escaped));
    std::process::exit(error.exit_code())
}

/// Mesa's device-selection layer looks for a desktop session even if there is none. libwayland then writes an error to
/// stderr before anything else is printed there. The layer only reorders devices, which unmix does itself.
fn quiet_vulkan() {
    let set = |name| std::env::var_os(name).is_some();
    if cfg!(target_os = "linux") && !set("XDG_RUNTIME_DIR") && !set("NODEVICE_SELECT") {
        // SAFETY: this is the first thing that the program does, so no other thread can be reading the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
