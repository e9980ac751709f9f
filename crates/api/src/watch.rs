//! Tells the caller how a fit goes, and hears whether it shall stop.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::{Progress, Stage};

/// The caller's callback, and what it has been told so far.
pub(crate) struct Watch<'p, P> {
    callback: &'p mut P,
    started: Instant,
    /// Seconds that the fit had taken before, where it goes on from a checkpoint.
    before: f64,
    latest: Progress,
    interrupted: bool,
}

impl<'p, P: FnMut(&Progress) -> ControlFlow<()>> Watch<'p, P> {
    /// A fit of at most `max_iterations` begins now, or goes on after so many seconds before.
    pub fn new(callback: &'p mut P, max_iterations: u32, before: f64) -> Self {
        let latest = Progress {
            stage: Stage::Measure,
            iteration: 0,
            max_iterations,
            relative_error: 1.0,
            best_relative_error: 1.0,
            dead_features: 0,
            seconds: 0.0,
        };
        Watch { callback, started: Instant::now(), before, latest, interrupted: false }
    }

    /// Seconds since the fit began.
    pub fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    /// Says that a stage begins. Gives whether the fit goes on: once the caller has asked it to stop, it never does.
    pub fn stage(&mut self, stage: Stage) -> bool {
        self.tell(Progress { stage, ..self.latest.clone() })
    }

    /// Says how the iterations go.
    pub fn tell(&mut self, progress: Progress) -> bool {
        self.latest = progress;
        self.latest.seconds = self.seconds();
        self.interrupted |= (self.callback)(&self.latest).is_break();
        !self.interrupted
    }

    /// What was said last.
    pub fn latest(&self) -> &Progress {
        &self.latest
    }
}
