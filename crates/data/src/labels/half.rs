//! Prompts are divided into halves, so that a choice is scored on prompts that did not make it.

/// Which half of the prompts a prompt belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// The half on which features and concepts are chosen for each other. Called `choose` or `train` in files.
    Choosing,
    /// The half on which the choice is scored. Called `score` or `test` in files.
    Scoring,
}
