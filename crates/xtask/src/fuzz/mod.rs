//! `cargo xtask fuzz`: hostile inputs for every reader.

mod campaign;
mod coverage;
mod options;
mod plain;

use std::fs;
use std::path::PathBuf;

use crate::failure::Failure;
use crate::process::{cargo, root, run as run_command, target};
use campaign::{Campaign, Outcome};
use options::Options;

pub fn run(args: &[String]) -> Result<(), Failure> {
    let options = Options::parse(args, &targets()?)?;
    // There is no `--package`, so that the dependencies are those of the tests and nothing is built twice.
    run_command(&mut cargo(["build", "--release", "--workspace", "--bin", "unmix-fuzz"])?)?;
    let campaign = Campaign::new(&options, target()?)?;
    let outcomes = if options.plain {
        campaign.run(|job| plain::start(&campaign, job))
    } else {
        let programs = coverage::build(&campaign)?;
        campaign.run(|job| coverage::start(&campaign, &programs, job))
    };
    conclude(outcomes)
}

/// The names of all targets.
fn targets() -> Result<Vec<String>, String> {
    let folder = root()?.join("fuzz/fuzz_targets");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let files: Vec<PathBuf> = fs::read_dir(&folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(failed)?;
    let mut names: Vec<String> = files.iter().filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

/// Prints what was tried, target by target, and then what failed.
fn conclude(outcomes: Vec<(String, Result<Outcome, String>)>) -> Result<(), Failure> {
    let mut executions = 0;
    let mut failures = Vec::new();
    println!("\n| target | executions | points of the program reached |\n|---|---|---|");
    for (name, outcome) in outcomes {
        match outcome {
            Ok(outcome) => {
                let covered = outcome.covered.map_or_else(|| "not counted".to_owned(), |covered| covered.to_string());
                println!("| {name} | {} | {covered} |", outcome.executions);
                executions += outcome.executions;
            }
            Err(failure) => {
                println!("| {name} | failed | |");
                failures.push(failure);
            }
        }
    }
    for failure in &failures {
        println!("\n{failure}");
    }
    println!("\n{executions} executions, {} failed", failures.len());
    if failures.is_empty() { Ok(()) } else { Err("a reader failed".to_owned().into()) }
}
