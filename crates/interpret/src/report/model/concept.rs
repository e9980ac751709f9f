//! Concepts that features were compared with.

use serde::{Deserialize, Serialize};

/// A concept that a feature detects beyond chance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConceptScore {
    /// Name of the concept.
    pub concept: String,
    /// Number of prompts of the concept.
    pub prompts: u64,
    /// Area under the ROC curve on held-out prompts. 0.5 is chance, and 1 means that all prompts are told apart.
    pub auc: f64,
    /// How often shuffled labels do as well for any pair of a feature and a concept.
    pub p_value: f64,
    /// How many of the feature's contexts come from prompts of the concept, if known.
    pub contexts: Option<u64>,
    /// Whether the concept names the feature, in the list and on the map. It does if it is the most common label of the
    /// feature's contexts, or if it is the clearest concept and labels of contexts are not known.
    pub names: bool,
}

/// A concept and the feature that detects it best.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConceptRow {
    /// Name of the concept.
    pub concept: String,
    /// The broader concept that it belongs to.
    pub parent: Option<String>,
    /// Number of prompts of the concept, if counted.
    pub prompts: Option<u64>,
    /// Number of the best feature.
    pub feature: Option<usize>,
    /// S_CD of that feature.
    pub score: Option<f64>,
    /// AUC of that feature on held-out prompts.
    pub auc: Option<f64>,
    /// AUC of a feature that is chosen with shuffled labels: the mean, and what 95% of the shuffles do not exceed.
    pub chance: Option<[f64; 2]>,
    /// How often shuffled labels do as well for any pair of a feature and a concept.
    pub p_value: Option<f64>,
    /// Whether that feature detects the concept beyond chance.
    pub detected: bool,
    /// AUC of the difference of means, a supervised direction, for comparison.
    pub diff_means_auc: Option<f64>,
}

/// The scores of all concepts together, and what shuffled labels give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConceptChance {
    /// Number of shuffles.
    pub permutations: u64,
    /// Mean AUC over the concepts.
    pub auc: f64,
    /// Its mean over the shuffles, and what 95% of them do not exceed.
    pub chance: [f64; 2],
}
