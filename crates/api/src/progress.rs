//! What a fit tells while it runs.

/// The state of a running fit, given to the progress callback after the start and after each iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Iterations done; 0 once the coefficients are initialised.
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
