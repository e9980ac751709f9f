//! Fuzzing without feedback. It needs nothing beyond what the tests need.

use std::process::Command;

use super::campaign::{Campaign, Job, Outcome};
use crate::process::output_of;

/// Runs a job to its end.
pub fn start(campaign: &Campaign, job: &Job) -> Result<Outcome, String> {
    let seed = campaign.seed + job.number as u64;
    let mut command = Command::new(campaign.unmix_fuzz());
    command.args([
        "run",
        &job.target,
        "--seed",
        &seed.to_string(),
        "--seconds",
        &job.seconds.to_string(),
        "--failures",
    ]);
    let said = output_of(command.arg(&campaign.failures))?;
    let executions = said.rsplit_once(": ").and_then(|(_, counts)| counts.split(' ').next()?.parse().ok());
    let executions = executions.ok_or_else(|| format!("unmix-fuzz said {said:?}"))?;
    Ok(Outcome { executions, covered: None })
}
