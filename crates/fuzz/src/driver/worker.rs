//! The process in which executions run.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use unmix_fuzz::execute;

use super::plan::Plan;

/// The arguments of a worker.
#[derive(Args)]
pub struct WorkerArgs {
    #[command(flatten)]
    plan: Plan,
    /// File for the number of executions, including the running one
    #[arg(long)]
    progress: PathBuf,
}

/// Tries the inputs of a plan. The first input that fails ends the process.
pub fn work(args: &WorkerArgs) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", args.progress.display());
    let generator = args.plan.generator()?;
    let mut progress = File::create(&args.progress).map_err(failed)?;
    let begun = Instant::now();
    let mut executions = 0u64;
    while !args.plan.is_done(executions, begun.elapsed()) {
        let input = generator.input(executions);
        executions += 1;
        progress.seek(SeekFrom::Start(0)).map_err(failed)?;
        progress.write_all(&executions.to_le_bytes()).map_err(failed)?;
        execute(args.plan.target, &input);
    }
    Ok(())
}
