//! Why an export was not written.

/// An error of an export. Nothing is left behind in that case.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file: one that cannot be read, or a place that cannot be written to.
    #[error(transparent)]
    Data(#[from] unmix_data::Error),
    /// The target needs something that the fit or the caller did not give.
    #[error("{target}: {missing}; {advice}")]
    Missing {
        /// The target's name.
        target: &'static str,
        /// What is missing.
        missing: String,
        /// What to do.
        advice: String,
    },
    /// Two matrices that do not belong together.
    #[error("{what} is {found}, but {expected}")]
    Mismatch {
        /// Which matrix.
        what: &'static str,
        /// Its shape.
        found: String,
        /// What the fit needs, and what to do.
        expected: String,
    },
    /// Numbers that are too large for the target's type.
    #[error("{0}")]
    Range(String),
}

impl ExportError {
    /// Whether the input is at fault rather than the system.
    pub fn is_usage(&self) -> bool {
        match self {
            ExportError::Data(error) => error.is_usage(),
            _ => true,
        }
    }
}
