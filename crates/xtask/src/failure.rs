//! How a command can fail.

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// What was checked is not as it should be, or could not be checked.
    Failed(String),
    /// The command line makes no sense.
    Usage(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure::Failed(message)
    }
}
