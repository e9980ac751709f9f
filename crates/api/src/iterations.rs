//! The iterations of a fit, as a value that steps.

use std::collections::VecDeque;
use std::future::ready;
use std::ops::ControlFlow;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use unmix_kernels::Report;
use unmix_runtime::{Pending, Prepared};

use crate::course::Course;
use crate::fit::Fit;
use crate::iteration_state::{Arrived, IterationState};
use crate::report::report_later;
use crate::start::Start;
use crate::watch::Watch;
use crate::{Error, Progress, Stage, StopReason, revival};

/// Iterations at the end in which nothing is revived: a new feature needs some to settle.
const SETTLING_ITERATIONS: u32 = 3;

/// The first pass after a warm-up takes so many times as many sweeps: features fit already, coefficients start from zero.
const FIRST_SWEEPS: u32 = 2;

/// The iterations of a fit, and all that they remember between steps beside the session's buffers.
pub(crate) struct Iterations<'f> {
    fit: &'f Fit<'f>,
    recordings: Recordings,
    rng: ChaCha8Rng,
    start: Start,
    /// Iterations that the engine was given.
    submitted: u32,
    /// Whether the features have been updated since the start.
    updated: bool,
    /// Reports of submitted iterations that have not been taken in, oldest first.
    in_flight: VecDeque<InFlight>,
    course: Course,
    /// Why no more iterations are submitted.
    stop: Option<StopReason>,
    /// Whether the caller asked to stop.
    interrupted: bool,
}

/// The steps of an iteration, made ready to run.
struct Recordings {
    first_features_step: Box<dyn Prepared>,
    features_step: Box<dyn Prepared>,
    first_pass: Option<Box<dyn Prepared>>,
    pass: Box<dyn Prepared>,
}

impl Recordings {
    fn prepare(fit: &Fit<'_>, start: Start, submitted: u32) -> Result<Self, Error> {
        let (steps, sweeps) = (fit.steps(), fit.options.sweeps);
        let prepare = |recording| fit.io.prepare(recording);
        let warm = submitted == 0 && start == Start::Features { warm: true };
        let first_pass = warm.then(|| steps.pass(sweeps.saturating_mul(FIRST_SWEEPS)));
        Ok(Recordings {
            first_features_step: prepare(steps.features_step(0.0))?,
            features_step: prepare(steps.features_step(fit.options.relaxation))?,
            first_pass: first_pass.map(prepare).transpose()?,
            pass: prepare(steps.pass(sweeps))?,
        })
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
    /// Those of a fit whose start is there; `rng` is what the start left of the random numbers.
    pub fn begin(fit: &'f Fit<'f>, start: Start, rng: ChaCha8Rng, start_seconds: f64) -> Result<Self, Error> {
        if start == Start::Coefficients {
            fit.io.run_once(fit.steps().start())?;
        }
        Ok(Iterations {
            fit,
            recordings: Recordings::prepare(fit, start, 0)?,
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

    /// Those of a fit whose buffers are what they were in this state.
    pub fn resume(fit: &'f Fit<'f>, state: IterationState) -> Result<Self, Error> {
        let mut rng = ChaCha8Rng::seed_from_u64(fit.options.seed);
        rng.set_word_pos(state.random_words.into());
        Ok(Iterations {
            fit,
            recordings: Recordings::prepare(fit, state.start, state.submitted)?,
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

    /// All that the iterations remember beside the session's buffers. It waits for the reports in flight, but takes in none: they
    /// would be taken in later.
    pub async fn state(&mut self) -> Result<IterationState, Error> {
        let mut in_flight = Vec::with_capacity(self.in_flight.len());
        while let Some(next) = self.in_flight.pop_front() {
            in_flight.push(next.arrive().await?);
        }
        self.in_flight = in_flight.iter().cloned().map(InFlight::from).collect();
        Ok(IterationState {
            start: self.start,
            random_words: self.rng.get_word_pos() as u64,
            submitted: self.submitted,
            updated: self.updated,
            in_flight,
            course: self.course.clone(),
            stop: self.stop,
        })
    }

    /// Whether the caller asked to stop.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Tells the caller that the iterations begin, or go on.
    pub fn announce<P: FnMut(&Progress) -> ControlFlow<()>>(&mut self, watch: &mut Watch<'_, P>) {
        let progress = self.course.progress(self.fit.measured.squared_norm, watch.latest());
        self.interrupted = !watch.tell(Progress { stage: Stage::Iterate, ..progress });
    }

    /// Submits what may be submitted ahead of the reports, and takes in the next report. Gives whether there was one.
    pub async fn step<P: FnMut(&Progress) -> ControlFlow<()>>(
        &mut self,
        watch: &mut Watch<'_, P>,
    ) -> Result<bool, Error> {
        let (fit, options) = (self.fit, &self.fit.options);
        // Without one iteration there are no features to return.
        let last = if self.stop.is_some() || self.interrupted { 1 } else { options.max_iterations };
        // The device shall not wait for the host.
        while self.submitted < last && self.in_flight.len() <= fit.engine.limits().lookahead as usize {
            self.submit().await?;
        }
        let Some(next) = self.in_flight.pop_front() else { return Ok(false) };
        let Arrived { report, weighted_sums } = next.arrive().await?;
        let weighted_sums = weighted_sums.as_deref().map(bytemuck::cast_slice);
        if !self.course.take(&Report::parse(&report), weighted_sums, options, fit.measured.squared_norm)? {
            // What follows an iterate that is not finite is not finite either.
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

    /// Submits an iteration: revives features that reports found dead, updates the features, and passes over the activations.
    async fn submit(&mut self) -> Result<(), Error> {
        let (fit, options) = (self.fit, &self.fit.options);
        let settling = self.submitted + SETTLING_ITERATIONS >= options.max_iterations;
        let dead = if options.revive && !settling { std::mem::take(&mut self.course.dead) } else { Vec::new() };
        let replacements = revival::replacements(fit, &dead, &mut self.rng).await?;
        // Features from the start are used before they are updated.
        if self.submitted > 0 || self.start == Start::Coefficients {
            // There is no direction to go on in before the features have been updated once.
            let step = &self.recordings;
            if self.updated { &step.features_step } else { &step.first_features_step }.run()?;
            self.updated = true;
        }
        for (feature, replacement) in replacements {
            fit.io.write_feature(&fit.buffers.features, feature, &replacement.neurons, &replacement.values)?;
            self.course.revived.push((self.submitted + 1, feature));
        }
        self.recordings.first_pass.take().as_ref().unwrap_or(&self.recordings.pass).run()?;
        self.in_flight.push_back(InFlight {
            report: report_later(fit),
            weighted_sums: fit.buffers.sums.weighted.map(|sums| fit.io.read_later(sums.buffer(), sums.columns.into())),
        });
        self.submitted += 1;
        Ok(())
    }

    /// What the iterations said, and why they ended.
    pub fn finish(self) -> (Course, StopReason) {
        let reason = match self.stop {
            Some(StopReason::Diverged) => StopReason::Diverged,
            _ if self.interrupted => StopReason::Interrupted,
            other => other.unwrap_or(StopReason::MaxIterations),
        };
        (self.course, reason)
    }
}
