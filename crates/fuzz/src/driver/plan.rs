//! What to try: a target and its inputs.

use std::time::Duration;

use clap::Args;
use unmix_fuzz::{Generator, Target, corpus};

/// What to try.
#[derive(Args, Clone, Debug)]
pub struct Plan {
    /// The reader
    #[arg(value_parser = target)]
    pub target: &'static Target,
    /// Seed of the inputs
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// End after this many inputs
    #[arg(long, value_name = "N", required_unless_present = "seconds")]
    pub executions: Option<u64>,
    /// End after this many seconds
    #[arg(long, value_name = "S")]
    pub seconds: Option<u64>,
}

impl Plan {
    /// The inputs to try.
    pub fn generator(&self) -> Result<Generator, String> {
        let inputs = corpus(self.target).map_err(|error| format!("the corpus cannot be read: {error}"))?;
        Ok(Generator::new(self.target, inputs, self.seed))
    }

    /// Whether the plan is fulfilled after `executions` inputs in that time.
    pub fn is_done(&self, executions: u64, time: Duration) -> bool {
        self.executions.is_some_and(|most| executions >= most)
            || self.seconds.is_some_and(|most| time.as_secs() >= most)
    }
}

/// The target of that name.
pub fn target(name: &str) -> Result<&'static Target, String> {
    Target::named(name).ok_or_else(|| {
        let names = Target::ALL.map(|target| target.name);
        format!("there is no target of that name; there are {}", names.join(", "))
    })
}
