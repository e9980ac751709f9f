//! Why concepts cannot be scored.

/// An error of the scores. Each says what was found, what was expected and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConceptError {
    /// Labels or activations that cannot be read, or do not fit each other.
    #[error(transparent)]
    Data(#[from] unmix_data::Error),
    /// Activations whose prompts are not known.
    #[error(
        "no column `prompt_ids`, so it is not known which tokens a label is about; add it, or give activations that have one"
    )]
    NoPrompts,
    /// Labels with which there is nothing to compare.
    #[error("{}: {problem}", path.display())]
    Labels {
        /// The file of labels.
        path: std::path::PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
}

impl ConceptError {
    /// Whether the input is at fault rather than the system.
    pub fn is_usage(&self) -> bool {
        match self {
            ConceptError::Data(error) => error.is_usage(),
            ConceptError::Labels { .. } | ConceptError::NoPrompts => true,
        }
    }
}
