//! What a fit tells while it runs.

/// What a fit is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// It measures the activations' norms.
    Measure,
    /// It chooses where to start.
    Start,
    /// It is about to run iteration `iteration`, from 1, of `of` on a sample of the tokens.
    WarmUp {
        /// Which iteration.
        iteration: u32,
        /// Of how many.
        of: u32,
    },
    /// It iterates over all tokens.
    Iterate,
    /// It finds the best iterate's coefficients again, where no copy was kept, and verifies the result against the activations.
    Verify,
}

/// The state of a running fit, given to the progress callback when a [stage](Stage) begins and after each iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What the fit is doing now. The other fields change in [`Stage::Iterate`] only.
    pub stage: Stage,
    /// Iterations done; 0 once the start is there.
    pub iteration: u32,
    /// Most iterations.
    pub max_iterations: u32,
    /// ‖X − YZ‖² / ‖X‖² after this iteration; 1 at iteration 0, before there are features.
    pub relative_error: f64,
    /// The least relative error so far.
    pub best_relative_error: f64,
    /// Features whose coefficients are all zero now.
    pub dead_features: u32,
    /// Seconds since the fit began.
    pub seconds: f64,
}
