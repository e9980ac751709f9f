//! The state of the iterations between two steps, in the form in which a checkpoint stores it. The buffers are stored separately.

use serde::{Deserialize, Serialize};

use crate::StopReason;
use crate::course::Course;
use crate::start::Start;

/// The state of a fit's iterations between two steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IterationState {
    /// Power of two by which the activations are multiplied.
    pub scale: f32,
    pub start: Start,
    /// Number of words that were taken from the random number generator. Its seed is among the options.
    pub random_words: u64,
    /// Number of iterations that were submitted to the engine.
    pub submitted: u32,
    /// Whether the features have been updated since the start.
    pub updated: bool,
    /// Reports of submitted iterations that the course does not include yet, oldest first.
    pub in_flight: Vec<Arrived>,
    pub course: Course,
    /// Why no more iterations are submitted. `None` while they are.
    pub stop: Option<StopReason>,
}

/// What the device reported of an iteration, in the form in which it arrived.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Arrived {
    /// The words of the report.
    pub report: Vec<u32>,
    /// The bits of the sums for the penalty. `None` if there is no penalty.
    pub weighted_sums: Option<Vec<u32>>,
}
