//! Tells the caller the progress of a fit, and notes whether the caller asks it to stop.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use crate::communicator::Communicator;
use crate::distribution::Distribution;
use crate::{Progress, Stage};

/// The caller's callback, and the progress that it was told last.
pub(crate) struct Watch<'p, P> {
    callback: &'p mut P,
    started: Instant,
    /// Seconds that the fit had taken when its checkpoint was written. It is 0 for a fit without one.
    before: f64,
    latest: Progress,
    interrupted: bool,
    /// All ranks stop together.
    communicator: Arc<dyn Communicator>,
}

impl<'p, P: FnMut(&Progress) -> ControlFlow<()>> Watch<'p, P> {
    /// Begins to watch a fit of at most `max_iterations` iterations. `before` are the seconds that the fit has taken already.
    pub fn new(callback: &'p mut P, distribution: &Distribution, max_iterations: u32, before: f64) -> Self {
        let latest = Progress {
            stage: Stage::Measure,
            iteration: 0,
            max_iterations,
            relative_error: 1.0,
            best_relative_error: 1.0,
            dead_features: 0,
            seconds: 0.0,
        };
        let communicator = distribution.shared_communicator();
        Watch { callback, started: Instant::now(), before, latest, interrupted: false, communicator }
    }

    /// Seconds that the fit has taken so far.
    pub fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    /// Tells the caller that a stage begins. Returns whether the fit continues. After the caller has asked to stop, this is always false.
    pub fn stage(&mut self, stage: Stage) -> bool {
        self.tell(Progress { stage, ..self.latest.clone() })
    }

    /// Tells the caller the progress. Returns whether the fit continues, which it does if no rank's caller has asked to stop.
    pub fn tell(&mut self, progress: Progress) -> bool {
        self.latest = progress;
        self.latest.seconds = self.seconds();
        let stops = (self.callback)(&self.latest).is_break();
        self.interrupted |= self.communicator.any(stops);
        !self.interrupted
    }

    /// Whether the caller has asked to stop.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// The progress that the caller was told last.
    pub fn latest(&self) -> &Progress {
        &self.latest
    }
}
