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
    /// The engine failed.
    #[error(transparent)]
    Runtime(#[from] unmix_runtime::Error),
}
