//! Runs many executions, and keeps what fails.
//!
//! A reader that overflows its stack or asks for too much memory ends the process that it runs in. So a worker runs the
//! executions and notes the number of each before it begins, and this process makes the failing input again from that number.

mod minimize;
mod trial;
mod worker;

use std::path::Path;
use std::time::Duration;

use clap::Args;
use unmix_fuzz::{Generator, Target, corpus};

use trial::Trials;
pub use worker::{WorkerArgs, work};

/// What to try.
#[derive(Args, Clone, Debug)]
pub struct Plan {
    /// The reader
    #[arg(value_parser = crate::target)]
    pub target: &'static Target,
    /// The inputs of another seed are others
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// End after so many inputs
    #[arg(long, value_name = "N", required_unless_present = "seconds")]
    pub executions: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "S")]
    pub seconds: Option<u64>,
}

impl Plan {
    /// The inputs to try.
    fn generator(&self) -> Result<Generator, String> {
        let inputs = corpus(self.target).map_err(|error| format!("the corpus cannot be read: {error}"))?;
        Ok(Generator::new(self.target, inputs, self.seed))
    }

    /// Whether all is done after `executions` inputs in that time.
    fn is_done(&self, executions: u64, time: Duration) -> bool {
        self.executions.is_some_and(|most| executions >= most)
            || self.seconds.is_some_and(|most| time.as_secs() >= most)
    }
}

/// Tries the inputs of a plan. The first that fails is made as short as it can easily be, kept in the folder `failures`, and
/// told in the error.
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

/// Tries the input in `file`. The error says all that is known of its failure.
pub fn execute(target: &'static Target, file: &Path) -> Result<(), String> {
    let input = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    match Trials::new(target)?.execute(&input)? {
        None => Ok(()),
        Some(failure) => Err(failure.in_full()),
    }
}

/// Makes the input in `file` shorter as long as it fails. The error says how it fails.
pub fn minimize(target: &'static Target, file: &Path) -> Result<(), String> {
    minimized(&Trials::new(target)?, file)?.map_or(Ok(()), Err)
}

/// Makes the input in `file` shorter, and tells how it fails; none if it does not.
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
