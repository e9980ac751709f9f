//! The consensus of several runs: the features that come back whatever the start.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use unmix_runtime::{Activations, Engine, PanelLayout, block_on};

use crate::agreement::{Agreement, stability};
use crate::checkpoint::{CheckpointReader, CheckpointRuns, CheckpointSummary, CheckpointWriter};
use crate::consensus_checkpoints::ConsensusCheckpoints;
use crate::consensus_groups::runs_in_groups;
use crate::consensus_runs::{run_options, run_seed};
use crate::fit::Fit;
use crate::refit::refit;
use crate::run::{Run, warn_of_outliers};
use crate::sparse_features::SparseFeatures;
use crate::watch::Watch;
use crate::{ConsensusSummary, Error, Factorization, Init, Options, Progress, SemiNmf, Stage};

/// Runs go on if the features that they agree on have a smaller stability with those of halves of the runs. With 100 features, those of most layers
/// of a language model have a larger one.
const ENOUGH: f64 = 0.88;
/// When the values of the features are fitted again, least squares is drawn to the values that the runs agree on with this pull. The error falls
/// by most of what it can, while the features of two consensuses hardly move apart: values that the tokens say little about would lower the
/// error little and differ between the two. It happens once. More often lowers the error a little, and moves the features of two consensuses
/// apart.
const PULL: f64 = 0.4;
/// The same if most iterations of the runs saw some neurons alone. At the other neurons the values are less exact.
const PULL_AFTER_SOME_NEURONS: f64 = 0.1;

/// The features that several runs from independent starts agree on. One run's features depend on its start: another seed finds about two
/// thirds of them again. The features of a consensus are found by another consensus far more often, and each of them says how well the runs
/// agree on it ([`reproducibility`](crate::FeatureStatistics::reproducibility)).
///
/// The runs are short fits, in lockstep over one pass for several of them. If there are many tokens, all but their last iterations see a fifth of
/// them. If there are more than 2,048 neurons, all but their last iterations see the first 2,048 alone, unless these do not stand for the others,
/// and the last ones see half of the tokens. The features of all runs are pooled, and those that most runs have become the features of the
/// result. If the runs agree too little on them, they do four more iterations, and their features are pooled again. Then the coefficients of the
/// result, and the values of its features, are fitted to all tokens.
///
/// ```
/// use unmix::{Consensus, CpuEngine, Engine, HostActivations, SemiNmf};
///
/// // 6 tokens × 4 neurons, made of two features.
/// let x = vec![
///     1.0, -1.0, 0.0, 0.0, 2.0, -2.0, 0.0, 0.0, 3.0, -3.0, 0.0, 0.0, //
///     0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 2.0, 4.0, 0.0, 0.0, 3.0, 6.0,
/// ];
/// let engine = CpuEngine::new();
/// let activations = engine.load(&HostActivations::from_f32(x, 6, 4)?)?;
/// let fit = Consensus::new(SemiNmf::new(2).sparsity(0.5)).runs(5).fit(&engine, &activations)?;
/// assert_eq!(fit.summary.consensus.as_ref().unwrap().runs, 5);
/// assert!(fit.summary.feature_statistics.iter().all(|feature| feature.reproducibility.unwrap() > 0.5));
/// # Ok::<(), unmix::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Consensus {
    fit: SemiNmf,
    runs: u32,
    iterations: Option<u32>,
    at_once: u32,
}

/// A consensus, and the runs whose features it is made of.
#[derive(Clone, Debug)]
pub struct ConsensusFit {
    /// The consensus.
    pub consensus: Factorization,
    /// Each run: its features, and the coefficients that they have for all tokens.
    pub runs: Vec<Factorization>,
}

impl Consensus {
    /// The number of runs, unless [`runs`](Self::runs) says another one.
    pub const RUNS: u32 = 30;
    /// The largest number of runs. More of them change nothing, and all pairs of their features are compared.
    pub const MOST_RUNS: u32 = 100;
    /// The number of iterations of each run, unless [`iterations`](Self::iterations) says another one.
    pub const ITERATIONS: u32 = 10;

    /// A consensus of 30 runs of 10 iterations, or of 14 if they agree too little after 10. `fit` says what the runs and the result are: the rank,
    /// the solver, the sparsity. Its seed gives each run a seed of its own. Its numbers of iterations and its tolerance do not matter.
    pub fn new(fit: SemiNmf) -> Self {
        Consensus { fit, runs: Self::RUNS, iterations: None, at_once: u32::MAX }
    }

    /// Number of runs, from 1 to 100. Default 30. The consensus of one run is an ordinary fit.
    pub fn runs(mut self, runs: u32) -> Self {
        self.runs = runs;
        self
    }

    /// Number of iterations of each run, at least 1. By default it is 10, and four more if the runs agree too little. A number that is set is the
    /// number of each run, however little they agree. Runs whose start gives no features have 10 as well.
    pub fn iterations(mut self, iterations: u32) -> Self {
        self.iterations = Some(iterations);
        self
    }

    /// Largest number of runs that are in memory at once, at least 1. By default all are if the activations are streamed, which are then read
    /// once in an iteration of all runs. Otherwise no more than ten are. The result does not depend on it.
    pub fn at_once(mut self, runs: u32) -> Self {
        self.at_once = runs;
        self
    }

    /// The options that are asked for, with all defaults filled in, for activations with this number of neurons.
    pub fn options(&self, neurons: u32) -> Options {
        self.fit.options(neurons)
    }

    /// The options of the result. Its coefficients are found without the shrinkage of the penalty, so that it explains as much as one fit.
    pub fn result_options(&self, neurons: u32) -> Options {
        let options = self.options(neurons);
        if self.runs == 1 {
            return options;
        }
        let unshrink = options.solver.updates().coefficients.is_penalized();
        Options { keep_best: false, unshrink, ..options }
    }

    /// Number of runs, and of iterations of each before the runs are compared.
    pub fn size(&self) -> (u32, u32) {
        (self.runs, self.iterations.unwrap_or(Self::ITERATIONS))
    }

    /// Whether samples of streamed activations that the starts need are copied to memory of their own; see
    /// [`SemiNmf::copy_samples`].
    pub fn copy_samples(mut self, copy: bool) -> Self {
        self.fit = self.fit.copy_samples(copy);
        self
    }

    /// Takes checkpoints, from which an interrupted consensus can be resumed. A checkpoint has the features of each run as they were when it last
    /// began with coefficients of zero: after its start, when its iterations on samples of the tokens end, and when its last iterations end. So it
    /// is small. It is taken when the time `every` has passed since the last one, or since the consensus began, and features have changed since
    /// then. One more is taken when the progress callback asks to stop. None are taken if `every` is zero. Runs whose start gives no features
    /// have theirs stored at their end. A consensus of one run takes the checkpoints of a fit.
    pub fn checkpoint(mut self, every: Duration, writer: impl CheckpointWriter + 'static) -> Self {
        self.fit = self.fit.checkpoint(every, writer);
        self
    }

    /// A consensus that continues from a checkpoint. It has the options and the number of runs of the interrupted one, and they must not be
    /// changed. On the same engine and device it ends with the same bits as a consensus without an interruption. Iterations since the features
    /// that the checkpoint has are computed again. The activations must be the same; see [`SemiNmf::resume`].
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the checkpoint is damaged, if it belongs to one fit, or if another version of unmix wrote it. Computing the
    /// consensus returns the same error for activations of another shape, for other options, and for another engine.
    pub fn resume(checkpoint: impl CheckpointReader + 'static) -> Result<Self, Error> {
        let (CheckpointSummary { options, .. }, CheckpointRuns { runs, iterations, .. }) =
            CheckpointSummary::of_consensus(checkpoint.header())?;
        Ok(Consensus { fit: SemiNmf::going_on(options, checkpoint), runs, iterations, at_once: u32::MAX })
    }

    /// The seed of each run.
    pub fn seeds(&self) -> Vec<u64> {
        (0..self.runs).map(|run| run_seed(self.fit.options(1).seed, run)).collect()
    }

    /// Computes the consensus, and waits for the result.
    ///
    /// # Errors
    /// As [`SemiNmf::fit`]. [`Error::Option`] also if the runs would have the same start, or if there are too many runs.
    pub fn fit(&self, engine: &dyn Engine, activations: &Activations) -> Result<Factorization, Error> {
        let silent = &mut |_: &Progress| ControlFlow::Continue(());
        Ok(self.compute_and_tell(engine, activations, silent, false)?.consensus)
    }

    /// As [`fit`](Self::fit), with a callback that is called when a stage begins and after each iteration. If the callback breaks, the
    /// result is the consensus of the runs until then: those that are done, or if there are none, those that have started.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_with(
        &self,
        engine: &dyn Engine,
        activations: &Activations,
        mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Factorization, Error> {
        Ok(self.compute_and_tell(engine, activations, &mut progress, false)?.consensus)
    }

    /// As [`fit_with`](Self::fit_with), without blocking the thread.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub async fn fit_async(
        &self,
        engine: &dyn Engine,
        activations: &Activations,
        progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Factorization, Error> {
        Ok(self.compute(engine, activations, progress, false).await?.consensus)
    }

    /// As [`fit_with`](Self::fit_with), and returns the runs as well. Finding the coefficients of a run takes a few passes over the
    /// activations. If the callback breaks, the runs whose coefficients have not been found are left out. The callback is asked before each
    /// of them.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_and_runs(
        &self,
        engine: &dyn Engine,
        activations: &Activations,
        mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<ConsensusFit, Error> {
        self.compute_and_tell(engine, activations, &mut progress, true)
    }

    /// All callbacks have one type here, so that a consensus is compiled once, and not again for every caller.
    fn compute_and_tell(
        &self,
        engine: &dyn Engine,
        activations: &Activations,
        progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
        keeps_runs: bool,
    ) -> Result<ConsensusFit, Error> {
        block_on(self.compute(engine, activations, progress, keeps_runs))
    }

    async fn compute(
        &self,
        engine: &dyn Engine,
        activations: &Activations,
        mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
        keeps_runs: bool,
    ) -> Result<ConsensusFit, Error> {
        let options = self.checked(activations.layout())?;
        if self.runs == 1 {
            let consensus = self.fit.fit_async(engine, activations, progress).await?;
            return Ok(ConsensusFit { runs: Vec::from_iter(keeps_runs.then(|| consensus.clone())), consensus });
        }
        let distribution = self.fit.distribution_of(activations.layout());
        let (mut checkpoints, seconds) = self.checkpoints(engine, activations.layout(), &options)?;
        let watch = &mut Watch::new(&mut progress, &distribution, 2, seconds);
        watch.stage(Stage::Measure);
        let copies_samples = self.fit.copies_samples();
        let run = Run { engine, activations, copies_samples, distribution: Arc::clone(&distribution) };
        let asked = (&self.seeds()[..], self.size().1);
        let mut runs = runs_in_groups(run, &options, asked, self.at_once, &mut checkpoints, watch).await?;
        warn_of_outliers(runs.any());
        let may_go_on = watch.stage(Stage::Agree) && self.iterations.is_none();
        checkpoints.keep_up(watch)?;
        let kept = runs.any().buffers.features.kept;
        let mut agreement = Agreement::of(&runs.features, kept, options.seed);
        let first_iterations = runs.iterations;
        let mut agreed = agreement.features();
        let agree_too_little = || agreement.stability_with_halves(&agreed) < ENOUGH;
        if may_go_on && agree_too_little() && runs.go_on(&mut checkpoints, watch).await? {
            watch.stage(Stage::Agree);
            // Two pools would take twice the memory.
            drop(agreement);
            agreement = Agreement::of(&runs.features, kept, options.seed);
            agreed = agreement.features();
        }
        let iterations = runs.iterations;
        let pull = if runs.saw_all_neurons { PULL } else { PULL_AFTER_SOME_NEURONS };
        let (fit, features) = runs.end();
        let result_options = self.result_options(activations.layout().neurons);
        let refitted = refit(Fit { options: result_options, ..fit.clone() }, &agreed, &[pull], watch).await?;
        checkpoints.keep_up(watch)?;
        let mut consensus = refitted.result(watch).await?;
        let found = SparseFeatures::of(&consensus.features);
        let reproducibility = agreement.reproducibility(&found);
        let found_in = agreement.found_in(&found);
        let seeds = self.seeds()[..features.len()].to_vec();
        let summary = &mut consensus.summary;
        for (k, statistics) in summary.feature_statistics.iter_mut().enumerate() {
            statistics.reproducibility = Some(reproducibility[k]);
            statistics.found_in = Some(found_in[k]);
        }
        summary.consensus = Some(ConsensusSummary {
            runs: features.len() as u32,
            seeds: seeds.clone(),
            iterations_each: iterations,
            more_iterations: iterations - first_iterations,
            stability: stability(&features),
        });
        let mut kept = Vec::new();
        let of = features.len() as u32;
        for ((features, seed), run) in features.iter().zip(seeds).zip(1..).filter(|_| keeps_runs) {
            let goes_on = watch.stage(Stage::KeepRun { run, of });
            checkpoints.keep_up(watch)?;
            if !goes_on {
                break;
            }
            let silent = &mut |_: &Progress| ControlFlow::Continue(());
            let watch = &mut Watch::new(silent, &distribution, 1, 0.0);
            // All runs had the penalty of the first one.
            let of_run = Options { penalty: fit.options.penalty, ..run_options(&options, seed, iterations) };
            let fit = Fit { options: of_run, ..fit.clone() };
            kept.push(refit(fit, features, &[], watch).await?.result(watch).await?);
        }
        Ok(ConsensusFit { consensus, runs: kept })
    }

    /// The checkpoints of a consensus with these options, and the seconds that it has taken before.
    fn checkpoints(
        &self,
        engine: &dyn Engine,
        layout: &PanelLayout,
        options: &Options,
    ) -> Result<(ConsensusCheckpoints, f64), Error> {
        let runs = CheckpointRuns { runs: self.runs, iterations: self.iterations, done: 0 };
        let schedule = self.fit.checkpoints();
        let checkpoints = ConsensusCheckpoints::new(schedule, engine, layout, options, runs, self.size().1);
        match self.fit.resumed() {
            None => Ok((checkpoints, 0.0)),
            Some(checkpoint) => checkpoints.resumed(checkpoint, engine, layout),
        }
    }

    /// The options, if a consensus of fits with them is possible for activations of this layout.
    pub(crate) fn checked(&self, layout: &PanelLayout) -> Result<Options, Error> {
        let refuse = |option: &'static str, given: String, expected: &str| {
            Err(Error::Option { option, given, expected: expected.to_owned() })
        };
        let options = self.fit.asked(layout)?.options;
        if self.runs == 0 || self.runs > Self::MOST_RUNS {
            return refuse("runs", self.runs.to_string(), &format!("a number from 1 to {} is needed", Self::MOST_RUNS));
        }
        for (option, value) in [("iterations", self.size().1), ("at_once", self.at_once)] {
            if value == 0 {
                return refuse(option, "0".to_owned(), "at least 1 is needed");
            }
        }
        if self.runs > 1 && matches!(options.init, Init::Given | Init::Svd) {
            let expected = "every run would have the same start, so that their agreement would mean nothing; start by `kmeans` or `random`";
            return refuse("init", options.init.name().to_owned(), expected);
        }
        if self.runs > 1 && self.fit.is_distributed() {
            let given = format!("{}, over several processes", self.runs);
            return refuse("runs", given, "a consensus is computed in one process");
        }
        Ok(options)
    }
}
