//! What is computed: one fit, or the consensus of several runs.

use std::ops::ControlFlow;
use std::time::Duration;

use unmix::{
    Activations, CheckpointReader, CheckpointRuns, CheckpointSummary, CheckpointWriter, Consensus, ConsensusFit,
    Distribution, Engine, Error, FitPlan, MemoryLimits, Options, PanelLayout, Placement, Progress, SemiNmf, Streaming,
};

/// What is computed.
pub enum Fitting {
    /// One fit.
    Single(SemiNmf),
    /// The consensus of several runs. `keep` says whether the runs are kept as well.
    Consensus {
        /// The consensus.
        consensus: Consensus,
        /// Whether its runs are kept.
        keep: bool,
    },
}

impl Fitting {
    /// Plans its memory within some limits.
    ///
    /// # Errors
    /// As [`SemiNmf::plan_within`].
    pub fn plan_within(
        &mut self,
        engine: &dyn Engine,
        layout: &PanelLayout,
        streaming: Streaming,
        limits: &MemoryLimits,
    ) -> Result<FitPlan, Error> {
        match self {
            Fitting::Single(fit) => fit.plan_within(engine, layout, streaming, limits),
            Fitting::Consensus { consensus, .. } => {
                let (plan, at_once) = consensus.plan_within(engine, layout, streaming, limits)?;
                *consensus = consensus.clone().at_once(at_once);
                Ok(plan)
            }
        }
    }

    /// The same with activations where they were planned to be.
    pub fn placed(self, placement: Placement) -> Self {
        let copies = placement.copies_samples();
        match self {
            Fitting::Single(fit) => Fitting::Single(fit.copy_samples(copies)),
            Fitting::Consensus { consensus, keep } => {
                Fitting::Consensus { consensus: consensus.copy_samples(copies), keep }
            }
        }
    }

    /// The same with checkpoints that `writer` stores.
    pub fn checkpointed(self, every: Duration, writer: impl CheckpointWriter + 'static) -> Self {
        match self {
            Fitting::Single(fit) => Fitting::Single(fit.checkpoint(every, writer)),
            Fitting::Consensus { consensus, keep } => {
                Fitting::Consensus { consensus: consensus.checkpoint(every, writer), keep }
            }
        }
    }

    /// What goes on from a checkpoint, which is of one fit or of a consensus. `keep` says whether runs are kept.
    ///
    /// # Errors
    /// As [`SemiNmf::resume`].
    pub fn resume(checkpoint: impl CheckpointReader + 'static, keep: bool) -> Result<Self, Error> {
        match CheckpointSummary::of_header(checkpoint.header())?.runs {
            None => Ok(Fitting::Single(SemiNmf::resume(checkpoint)?)),
            Some(_) => Ok(Fitting::Consensus { consensus: Consensus::resume(checkpoint)?, keep }),
        }
    }

    /// The same over several processes.
    ///
    /// # Errors
    /// If it is a consensus, which is computed in one process.
    pub fn distributed(self, distribution: Distribution) -> Result<Self, Error> {
        match self {
            Fitting::Single(fit) => Ok(Fitting::Single(fit.distributed(distribution))),
            Fitting::Consensus { consensus, .. } => {
                let given = consensus.size().0.to_string();
                let expected =
                    "a consensus takes its sums neither in segments nor on several ranks; leave it out".to_owned();
                Err(Error::Option { option: "runs", given, expected })
            }
        }
    }

    /// The options that are asked for, with all defaults filled in.
    pub fn options(&self, neurons: u32) -> Options {
        match self {
            Fitting::Single(fit) => fit.options(neurons),
            Fitting::Consensus { consensus, .. } => consensus.options(neurons),
        }
    }

    /// The options of the result.
    pub fn result_options(&self, neurons: u32) -> Options {
        match self {
            Fitting::Single(fit) => fit.options(neurons),
            Fitting::Consensus { consensus, .. } => consensus.result_options(neurons),
        }
    }

    /// Number of runs, and of iterations of each before they are compared. `None` for one fit.
    pub fn runs(&self) -> Option<(u32, u32)> {
        match self {
            Fitting::Single(_) => None,
            Fitting::Consensus { consensus, .. } => Some(consensus.size()),
        }
    }

    /// Computes the result, and the runs if they are kept.
    ///
    /// # Errors
    /// As [`SemiNmf::fit`].
    pub fn fit(
        &self,
        engine: &dyn Engine,
        activations: &Activations,
        progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<ConsensusFit, Error> {
        let alone = |consensus| ConsensusFit { consensus, runs: Vec::new() };
        match self {
            Fitting::Single(fit) => fit.fit_with(engine, activations, progress).map(alone),
            Fitting::Consensus { consensus, keep: false } => {
                consensus.fit_with(engine, activations, progress).map(alone)
            }
            Fitting::Consensus { consensus, keep: true } => consensus.fit_and_runs(engine, activations, progress),
        }
    }
}

/// What is said of the checkpoint from which a fit goes on.
pub fn going_on(checkpoint: &CheckpointSummary) -> String {
    match &checkpoint.runs {
        Some(CheckpointRuns { runs, done, .. }) => format!("going on with {done} of {runs} runs done"),
        None => {
            format!("going on after iteration {} of {}", checkpoint.iterations, checkpoint.options.max_iterations)
        }
    }
}
