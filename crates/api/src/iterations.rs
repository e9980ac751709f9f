//! The iterations of a fit, as a value that runs them step by step. The pass over the activations in the middle of an iteration is run by
//! the caller, because several fits may share it.

use std::collections::VecDeque;
use std::future::ready;
use std::ops::ControlFlow;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use unmix_kernels::{DESCENT_SUM_WORDS, PARTIAL_WORDS};
use unmix_runtime::Pending;

use crate::course::Course;
use crate::fit::Fit;
use crate::iteration_state::{Arrived, IterationState};
use crate::prepared_steps::PreparedSteps;
use crate::report::{iteration_report, report_later};
use crate::same_features::same_features;
use crate::start::Start;
use crate::watch::Watch;
use crate::{Error, Progress, Stage, StopReason, revival};

/// Number of iterations at the end in which no feature is revived. A new feature needs some iterations to settle.
const SETTLING_ITERATIONS: u32 = 3;

/// The first pass after a warm-up does this many times the usual number of sweeps, because the coefficients start from zero while the
/// features already fit.
const FIRST_SWEEPS: u32 = 2;

/// The iterations of a fit, with their state between steps. The buffers of the session are not part of it.
pub(crate) struct Iterations<'f> {
    fit: &'f Fit<'f>,
    features_steps: FeaturesSteps,
    rng: ChaCha8Rng,
    start: Start,
    /// Number of iterations that were submitted to the engine.
    submitted: u32,
    /// Whether the features have been updated since the start.
    updated: bool,
    /// Reports of submitted iterations that the course does not include yet, oldest first.
    in_flight: VecDeque<InFlight>,
    course: Course,
    /// Why no more iterations are submitted. `None` while they are.
    stop: Option<StopReason>,
    /// Whether the caller asked to stop.
    interrupted: bool,
}

/// The updates of the features, prepared to run.
struct FeaturesSteps {
    first: PreparedSteps,
    next: PreparedSteps,
}

impl FeaturesSteps {
    fn prepare(fit: &Fit<'_>) -> Result<Self, Error> {
        let prepare = |relaxation| fit.io.prepare(fit.steps().features_step(relaxation));
        Ok(FeaturesSteps { first: prepare(0.0)?, next: prepare(fit.options.relaxation)? })
    }
}

/// A submitted iteration whose report has not arrived yet.
struct InFlight {
    report: Pending<Vec<u32>>,
    weighted_sums: Option<Pending<Vec<u32>>>,
}

impl InFlight {
    async fn arrive(self) -> Result<Arrived, Error> {
        let report = self.report.await?;
        let weighted_sums = match self.weighted_sums {
            Some(sums) => Some(sums.await?),
            None => None,
        };
        Ok(Arrived { report, weighted_sums })
    }
}

impl From<Arrived> for InFlight {
    fn from(Arrived { report, weighted_sums }: Arrived) -> Self {
        let there = |words: Vec<u32>| -> Pending<Vec<u32>> { Box::pin(ready(Ok(words))) };
        InFlight { report: there(report), weighted_sums: weighted_sums.map(there) }
    }
}

impl<'f> Iterations<'f> {
    /// The iterations of a fit after its start. `rng` continues where the start left it.
    pub fn begin(fit: &'f Fit<'f>, start: Start, rng: ChaCha8Rng, start_seconds: f64) -> Result<Self, Error> {
        if start == Start::Coefficients {
            fit.io.run_once(fit.steps().start())?;
        }
        Ok(Iterations {
            fit,
            features_steps: FeaturesSteps::prepare(fit)?,
            rng,
            start,
            submitted: 0,
            updated: false,
            in_flight: VecDeque::new(),
            course: Course { start_seconds, ..Course::default() },
            stop: None,
            interrupted: false,
        })
    }

    /// The iterations of a fit from a saved state. The buffers must already have the content that belongs to this state.
    pub fn resume(fit: &'f Fit<'f>, state: IterationState) -> Result<Self, Error> {
        let mut rng = ChaCha8Rng::seed_from_u64(fit.options.seed);
        rng.set_word_pos(state.random_words.into());
        Ok(Iterations {
            fit,
            features_steps: FeaturesSteps::prepare(fit)?,
            rng,
            start: state.start,
            submitted: state.submitted,
            updated: state.updated,
            in_flight: state.in_flight.into_iter().map(InFlight::from).collect(),
            course: state.course,
            stop: state.stop,
            interrupted: false,
        })
    }

    /// The state of the iterations, without the buffers of the session. It waits for the reports in flight, but does not add them to the
    /// course. An uninterrupted fit would add them later.
    pub async fn state(&mut self) -> Result<IterationState, Error> {
        let mut in_flight = Vec::with_capacity(self.in_flight.len());
        while let Some(next) = self.in_flight.pop_front() {
            in_flight.push(next.arrive().await?);
        }
        self.in_flight = in_flight.iter().cloned().map(InFlight::from).collect();
        Ok(IterationState {
            scale: self.fit.measured.scale,
            start: self.start,
            random_words: self.rng.get_word_pos() as u64,
            submitted: self.submitted,
            updated: self.updated,
            in_flight,
            course: self.course.clone(),
            stop: self.stop,
        })
    }

    /// The fit.
    pub fn fit(&self) -> &'f Fit<'f> {
        self.fit
    }

    /// Whether the caller asked to stop.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Tells the caller that the iterations begin or continue.
    pub fn announce<P: FnMut(&Progress) -> ControlFlow<()>>(&mut self, watch: &mut Watch<'_, P>) {
        let progress = self.course.progress(self.fit.measured.squared_norm, watch.latest());
        self.interrupted = !watch.tell(Progress { stage: Stage::Iterate, ..progress });
    }

    /// Whether an iteration may be submitted ahead of the reports of those before it, so that the device does not wait for the host.
    pub fn may_submit(&self) -> bool {
        // Even after a stop, one iteration must run. Otherwise there are no features to return.
        let ended = self.stop.is_some() || self.interrupted;
        let last = if ended { 1 } else { self.fit.options.max_iterations };
        // All ranks must take the same steps in the same order, and some engines do not submit ahead.
        let differ = self.fit.distribution.engines_differ();
        let ahead = if differ { 0 } else { self.fit.engine.limits().lookahead };
        self.submitted < last && self.in_flight.len() <= ahead as usize
    }

    /// Submits an iteration up to its pass over the activations: revives the features that are dead according to the reports, and updates
    /// the features. Returns the number of updates of the coefficients in the pass.
    pub async fn before_pass(&mut self) -> Result<u32, Error> {
        let (fit, options) = (self.fit, &self.fit.options);
        let settling = self.submitted + SETTLING_ITERATIONS >= options.max_iterations;
        let dead = if options.revive && !settling { std::mem::take(&mut self.course.dead) } else { Vec::new() };
        let replacements = revival::replacements(fit, &fit.panels, &dead, &mut self.rng).await?;
        // If the start gave features, the first pass uses them before they are updated.
        if self.submitted > 0 || self.start == Start::Coefficients {
            // Over-relaxation needs the features of an earlier update, so the first update has none.
            let step = &self.features_steps;
            if self.updated { &step.next } else { &step.first }.run()?;
            same_features(fit).await?;
            self.updated = true;
        }
        for (feature, replacement) in replacements {
            fit.io.write_feature(&fit.buffers.features, feature, &replacement.neurons, &replacement.values)?;
            self.course.revived.push((self.submitted + 1, feature));
        }
        let warm = self.submitted == 0 && self.start == Start::Features { warm: true };
        Ok(options.sweeps.saturating_mul(if warm { FIRST_SWEEPS } else { 1 }))
    }

    /// Notes that the pass of the iteration was submitted, and starts reading its report.
    pub fn after_pass(&mut self) {
        let fit = self.fit;
        let is_penalized = fit.options.solver.updates().coefficients.is_penalized();
        self.in_flight.push_back(InFlight {
            report: report_later(fit),
            weighted_sums: is_penalized.then(|| {
                let words = (DESCENT_SUM_WORDS - PARTIAL_WORDS).into();
                fit.io.read_later(fit.buffers.sums.inner, PARTIAL_WORDS.into(), words)
            }),
        });
        self.submitted += 1;
    }

    /// Adds the next report to the course. Returns false if there is no more report, or if its iterate is not finite.
    pub async fn take_report<P: FnMut(&Progress) -> ControlFlow<()>>(
        &mut self,
        watch: &mut Watch<'_, P>,
    ) -> Result<bool, Error> {
        let (fit, options) = (self.fit, &self.fit.options);
        let Some(next) = self.in_flight.pop_front() else { return Ok(false) };
        let Arrived { report, weighted_sums } = next.arrive().await?;
        // All ranks decide by what rank 0 has found.
        let communicator = fit.distribution.communicator();
        let report = communicator.of_rank(0, report);
        let weighted_sums = weighted_sums.map(|sums| communicator.of_rank(0, sums));
        let weighted_sums = weighted_sums.as_deref().map(bytemuck::cast_slice);
        let report = iteration_report(fit, &report, self.course.losses.len() as u32)?;
        if !self.course.take(&report, weighted_sums, options, fit.measured.squared_norm)? {
            // Iterates after one that is not finite are not finite either.
            self.stop = Some(StopReason::Diverged);
            return Ok(false);
        }
        self.course.seconds.push(watch.seconds());
        if self.stop.is_none() && !self.interrupted {
            self.stop = self.course.has_converged(options).then_some(StopReason::Converged);
            let progress = self.course.progress(fit.measured.squared_norm, watch.latest());
            self.interrupted = !watch.tell(progress);
        }
        Ok(true)
    }

    /// The course of the iterations, and why they ended.
    pub fn finish(self) -> (Course, StopReason) {
        let reason = match self.stop {
            Some(StopReason::Diverged) => StopReason::Diverged,
            _ if self.interrupted => StopReason::Interrupted,
            other => other.unwrap_or(StopReason::MaxIterations),
        };
        (self.course, reason)
    }
}
