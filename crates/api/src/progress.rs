//! The progress that a fit reports while it runs.

/// What a fit is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// The fit measures the norms of the activations.
    Measure,
    /// The fit computes its start.
    Start,
    /// The fit is about to run an iteration on a sample of the tokens.
    WarmUp {
        /// Number of the iteration, from 1.
        iteration: u32,
        /// Number of iterations on the sample.
        of: u32,
    },
    /// A consensus is about to compute the starts of some of its runs.
    StartRuns {
        /// Number of the first of these runs, from 1.
        first: u32,
        /// Number of the last of them.
        last: u32,
        /// Number of runs.
        of: u32,
    },
    /// A consensus is about to run an iteration of some of its runs.
    Runs {
        /// Number of the first of these runs, from 1.
        first: u32,
        /// Number of the last of them.
        last: u32,
        /// Number of runs.
        of: u32,
        /// Number of the iteration, from 1.
        iteration: u32,
        /// Number of iterations of each run.
        iterations: u32,
    },
    /// A consensus compares its runs.
    Agree,
    /// A consensus is about to find the coefficients of a run that is kept.
    KeepRun {
        /// Number of the run, from 1.
        run: u32,
        /// Number of runs.
        of: u32,
    },
    /// The fit iterates over all tokens.
    Iterate,
    /// The fit verifies the result against the activations. Before that, it finds the coefficients of the best iterate again if no copy was
    /// kept.
    Verify,
}

/// The state of a running fit, given to the progress callback when a [stage](Stage) begins and after each iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What the fit is doing now. The other fields change in [`Stage::Iterate`] only.
    pub stage: Stage,
    /// Number of iterations done. It is 0 until the first one is done.
    pub iteration: u32,
    /// Largest number of iterations.
    pub max_iterations: u32,
    /// ‖X − YZ‖² / ‖X‖² after this iteration. It is 1 at iteration 0.
    pub relative_error: f64,
    /// The least relative error so far.
    pub best_relative_error: f64,
    /// Number of features whose coefficients are all zero now.
    pub dead_features: u32,
    /// Seconds since the fit began.
    pub seconds: f64,
}
