//! A place in the grid of a sweep.

use serde::{Deserialize, Serialize};

/// A number of features with a sparsity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GridPoint {
    /// Number of features K.
    pub rank: u32,
    /// Share of the neurons that a feature keeps.
    pub sparsity: f64,
}
