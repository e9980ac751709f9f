//! What `unmix fit` computes: one fit, or the consensus of several runs.

use std::ops::ControlFlow;
use std::time::Duration;

use unmix::{
    Activations, Consensus, ConsensusFit, Engine, Error, FitPlan, MemoryLimits, Options, PanelLayout, Placement,
    Progress, SemiNmf, Streaming,
};
use unmix_data::CheckpointFolder;

use super::args::NewFitArgs;
use super::solver_args::SolverArgs;
use crate::failure::Failure;

/// Refuses options that mean nothing for several runs.
pub fn check_runs(args: &NewFitArgs, solver: &SolverArgs) -> Result<(), Failure> {
    let Some(runs) = args.runs.filter(|&runs| runs > 1) else {
        if args.keep_runs {
            return Err(Failure::Usage(
                "--keep-runs: one run is the fit itself; ask for more --runs, or leave it out".to_owned(),
            ));
        }
        return Ok(());
    };
    let refuse =
        |option: &str, why: &str| Err(Failure::Usage(format!("{option}: {why}; leave out {option}, or --runs")));
    if args.init_coefficients.is_some() {
        let why = "every run would have the same start, so that their agreement would mean nothing";
        return refuse("--init-coefficients", why);
    }
    if args.checkpoint_every.is_some_and(|time| !time.is_zero()) {
        return refuse("--checkpoint-every", "a fit with several runs takes no checkpoints");
    }
    if solver.preset.is_some() && solver.max_iterations.is_none() {
        let iterations = Consensus::ITERATIONS;
        return Err(Failure::Usage(format!(
            "--preset: its number of iterations is for one run, and each of {runs} runs has {iterations} unless it is set; add \
             --max-iterations {iterations} or another number"
        )));
    }
    let given = [
        ("--tolerance", solver.tolerance.is_some()),
        ("--patience", solver.patience.is_some()),
        ("--warm-up", solver.warm_up.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((option, _)) => refuse(
            option,
            &format!("each of {runs} runs has the same number of iterations, which --max-iterations sets"),
        ),
        None => Ok(()),
    }
}

/// What is computed.
pub enum Fitting {
    /// One fit.
    Single(SemiNmf),
    /// The consensus of several runs. `keep` says whether the runs are kept as well.
    Consensus { consensus: Consensus, keep: bool },
}

impl Fitting {
    /// What the options ask to compute with `builder`.
    pub fn new(args: &NewFitArgs, solver: &SolverArgs, builder: SemiNmf) -> Self {
        let Some(runs) = args.runs.filter(|&runs| runs > 1) else { return Fitting::Single(builder) };
        let mut consensus = Consensus::new(builder).runs(runs);
        if let Some(iterations) = solver.max_iterations {
            consensus = consensus.iterations(iterations);
        }
        Fitting::Consensus { consensus, keep: args.keep_runs }
    }

    /// Plans its memory within some limits.
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

    /// The same with checkpoints in `folder`. A consensus takes none.
    pub fn checkpointed(self, every: Duration, folder: Option<CheckpointFolder>) -> Self {
        match (self, folder) {
            (Fitting::Single(fit), Some(folder)) => Fitting::Single(fit.checkpoint(every, folder)),
            (other, _) => other,
        }
    }

    /// The options of the result.
    pub fn options(&self, neurons: u32) -> Options {
        match self {
            Fitting::Single(fit) => fit.options(neurons),
            Fitting::Consensus { consensus, .. } => consensus.options(neurons),
        }
    }

    /// Number of runs, and of iterations of each. `None` for one fit.
    pub fn runs(&self) -> Option<(u32, u32)> {
        match self {
            Fitting::Single(_) => None,
            Fitting::Consensus { consensus, .. } => Some(consensus.size()),
        }
    }

    /// Computes the result, and the runs if they are kept.
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
