//! Says when checkpoints are due.

use std::time::{Duration, Instant};

use crate::checkpoint_handles::SharedWriter;

/// How often checkpoints are taken, and the writer that stores them.
#[derive(Clone, Debug)]
pub(crate) struct CheckpointSchedule {
    /// Least time between two checkpoints. If it is zero, no checkpoints are taken.
    pub every: Duration,
    pub writer: SharedWriter,
}

/// The schedule of a computation that is under way.
pub(crate) struct CheckpointClock {
    /// `None` if no checkpoints are taken, or no more of them.
    schedule: Option<CheckpointSchedule>,
    /// When the last checkpoint was complete. Before the first one: when the computation began.
    last: Instant,
}

impl CheckpointClock {
    /// The clock of a computation that begins now.
    pub fn new(schedule: Option<CheckpointSchedule>) -> Self {
        CheckpointClock { schedule: schedule.filter(|schedule| !schedule.every.is_zero()), last: Instant::now() }
    }

    /// The writer, if checkpoints are taken.
    pub fn writer(&self) -> Option<&SharedWriter> {
        self.schedule.as_ref().map(|schedule| &schedule.writer)
    }

    /// Whether the time of the next checkpoint has come.
    pub fn is_due(&self) -> bool {
        self.schedule.as_ref().is_some_and(|schedule| self.last.elapsed() >= schedule.every)
    }

    /// A checkpoint is complete.
    pub fn taken(&mut self) {
        self.last = Instant::now();
    }

    /// From now on, no more checkpoints are taken.
    pub fn end(&mut self) {
        self.schedule = None;
    }
}
