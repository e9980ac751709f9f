//! The errors of the library.

/// An error of a fit, an encoding or a plan.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// An option is impossible, by itself or for these activations.
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
    /// The activations are so large or so small that their products leave the range of f32.
    #[error(
        "the activations' largest magnitude is {largest:e}, outside 1e-32 to 8e31; multiply them by a constant \
         (the features scale with them)"
    )]
    OutOfRange {
        /// The largest magnitude.
        largest: f32,
    },
    /// The result failed its verification against the activations.
    #[error(
        "the result failed its verification: {problem}; the activations may have changed during the fit, or the options lead out of \
         the range of f32: try another seed, a larger ridge or fewer features"
    )]
    Unsound {
        /// What is wrong with it.
        problem: String,
    },
    /// A fit needs more memory than it is allowed to take.
    #[error(
        "with {placement} activations, the fit needs {needed} bytes of memory of {whose}, and {allowed} are allowed; {remedy}"
    )]
    Memory {
        /// Number of bytes that the fit needs.
        needed: u64,
        /// Number of bytes that are allowed.
        allowed: u64,
        /// Whose memory it is: "the host" or "the device".
        whose: &'static str,
        /// Where the activations would be: "resident" or "streamed".
        placement: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A fit cannot continue from a checkpoint.
    #[error("the checkpoint cannot be used: {problem}")]
    Checkpoint {
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A checkpoint could not be stored.
    #[error("a checkpoint could not be written: {problem}")]
    CheckpointWrite {
        /// The message of the writer's error.
        problem: String,
    },
    /// The engine failed.
    #[error(transparent)]
    Runtime(#[from] unmix_runtime::Error),
}
