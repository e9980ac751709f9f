//! What iterations remember between steps, beside the session's buffers, as it is stored.

use serde::{Deserialize, Serialize};

use crate::StopReason;
use crate::course::Course;
use crate::start::Start;

/// The state of a fit's iterations between two steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IterationState {
    pub start: Start,
    /// Words that were taken from the generator of random numbers, whose seed is among the options.
    pub random_words: u64,
    /// Iterations that the engine was given.
    pub submitted: u32,
    /// Whether the features have been updated since the start.
    pub updated: bool,
    /// What submitted iterations said that has not been taken in, oldest first.
    pub in_flight: Vec<Arrived>,
    pub course: Course,
    /// Why no more iterations are submitted.
    pub stop: Option<StopReason>,
}

/// What an iteration said, as the device says it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Arrived {
    /// The words of the report.
    pub report: Vec<u32>,
    /// The bits of the sums for the penalty, where there is one.
    pub weighted_sums: Option<Vec<u32>>,
}
