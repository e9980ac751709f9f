//! Why something that fits activations, or reads them again, did not succeed.

/// An error of a fit, or of reading activations. Each says what was found, what was expected and what to do.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// A fit or an encoding failed.
    #[error(transparent)]
    Fit(#[from] unmix::Error),
    /// Activations cannot be read, or matrices do not belong together.
    #[error(transparent)]
    Data(#[from] unmix_data::Error),
}

impl From<unmix::RuntimeError> for FitError {
    fn from(error: unmix::RuntimeError) -> FitError {
        FitError::Fit(error.into())
    }
}
