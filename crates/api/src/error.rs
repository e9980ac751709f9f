//! What can go wrong in a fit.

/// An error of the factorization interface.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// An option is outside what is possible, alone or for these activations.
    #[error("{option} = {given}: {expected}")]
    Option {
        /// The option's name, as on the builder and the command line.
        option: &'static str,
        /// What was given.
        given: String,
        /// What is possible, and what to do.
        expected: String,
    },
    /// The activations hold NaN or infinity.
    #[error(
        "the activations hold NaN or infinite values; remove or replace those tokens (`unmix inspect` shows the first)"
    )]
    NonFinite,
    /// The activations are so large or so small that f32 products of them are not.
    #[error(
        "the activations' largest magnitude is {largest:e}, outside 1e-32 to 8e31; multiply them by a constant \
         (the features scale with them)"
    )]
    OutOfRange {
        /// The largest magnitude.
        largest: f32,
    },
    /// The result does not hold against the activations.
    #[error(
        "the result failed its verification: {problem}; the activations may have changed during the fit, or the options lead out of \
         the range of f32: try another seed, a larger ridge or fewer features"
    )]
    Unsound {
        /// What is wrong with it.
        problem: String,
    },
    /// A fit cannot go on from a checkpoint.
    #[error("the checkpoint cannot be used: {problem}")]
    Checkpoint {
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A checkpoint could not be stored.
    #[error("a checkpoint could not be written: {problem}")]
    CheckpointWrite {
        /// What its writer says.
        problem: String,
    },
    /// The engine failed.
    #[error(transparent)]
    Runtime(#[from] unmix_runtime::Error),
}
