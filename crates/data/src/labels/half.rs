//! Prompts are halved, so that a choice is scored on prompts that did not make it.

/// Which half of the prompts a prompt belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// On which features and concepts are chosen for each other; `choose` or `train` in files.
    Choosing,
    /// On which the choice is scored; `score` or `test` in files.
    Scoring,
}
