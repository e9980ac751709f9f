//! Runs many executions, and keeps the inputs that fail.
//!
//! A reader that overflows its stack or asks for too much memory ends its own process. So a worker process runs the
//! executions, and writes down the number of each before it begins. This process then makes the failing input again
//! from that number.

mod minimize;
mod plan;
mod trial;
mod worker;

use std::path::Path;

use unmix_fuzz::Target;

use trial::Trials;

pub use plan::{Plan, target};
pub use worker::{WorkerArgs, work};

/// Tries the inputs of a plan. The first input that fails is made as short as is easily possible, kept in the folder
/// `failures`, and named in the error.
pub fn run(plan: &Plan, failures: &Path) -> Result<(), String> {
    let trials = Trials::new(plan.target)?;
    let (executions, failure) = trials.work(plan)?;
    let name = plan.target.name;
    let Some(failure) = failure else {
        println!("{name}: {executions} executions, none failed");
        return Ok(());
    };
    let number = executions.saturating_sub(1);
    let input = plan.generator()?.input(number);
    let path = failures.join(format!("{name}-{}-{number}", plan.seed));
    std::fs::create_dir_all(failures)
        .and_then(|()| std::fs::write(&path, input))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    match minimized(&trials, &path)? {
        Some(report) => Err(report),
        None => Err(format!("{}: failed, but not when tried again: {failure}", path.display())),
    }
}

/// Tries the input in `file`. The error says everything that is known about its failure.
pub fn execute(target: &'static Target, file: &Path) -> Result<(), String> {
    let input = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    match Trials::new(target)?.execute(&input)? {
        None => Ok(()),
        Some(failure) => Err(failure.in_full()),
    }
}

/// Makes the input in `file` shorter as long as it still fails. The error says how it fails.
pub fn minimize(target: &'static Target, file: &Path) -> Result<(), String> {
    minimized(&Trials::new(target)?, file)?.map_or(Ok(()), Err)
}

/// Makes the input in `file` shorter, and returns how it fails, or none if it does not.
fn minimized(trials: &Trials, file: &Path) -> Result<Option<String>, String> {
    let io = |error: std::io::Error| format!("{}: {error}", file.display());
    let input = std::fs::read(file).map_err(io)?;
    let Some(failure) = trials.execute(&input)? else { return Ok(None) };
    let fails = |input: &[u8]| Ok(trials.execute(input)?.is_some_and(|other| other.is_like(&failure)));
    let shorter = minimize::minimize(&input, fails)?;
    std::fs::write(file, &shorter).map_err(io)?;
    Ok(Some(format!(
        "{failure}\n{} bytes that fail so are in {}; `unmix-fuzz execute {} FILE` tries them again.",
        shorter.len(),
        file.display(),
        trials.target.name
    )))
}
