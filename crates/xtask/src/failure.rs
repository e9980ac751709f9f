//! How a command can fail.

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// A check found something wrong, or could not be made.
    Failed(String),
    /// The command line makes no sense.
    Usage(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure::Failed(message)
    }
}
