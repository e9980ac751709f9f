//! Findings about the fit as a whole.

use serde::{Deserialize, Serialize};

/// A finding about the fit as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthNote {
    /// How serious it is.
    pub level: HealthLevel,
    /// A short sentence: `3 pairs of features are near copies`.
    pub text: String,
    /// What to do about it, in whole sentences. May be empty.
    pub advice: String,
    /// The features that it is about. May be empty.
    pub features: Vec<usize>,
}

/// How serious a health note is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthLevel {
    /// Everything is well.
    Good,
    /// Worth knowing.
    #[default]
    Note,
    /// Look at this before you use the features.
    Warning,
}

impl HealthLevel {
    /// `good`, `note` or `warning`.
    pub const fn name(self) -> &'static str {
        match self {
            HealthLevel::Good => "good",
            HealthLevel::Note => "note",
            HealthLevel::Warning => "warning",
        }
    }
}
