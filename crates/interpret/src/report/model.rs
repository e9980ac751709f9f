//! What the page shows, as plain data. The caller fills in what it has and leaves the rest empty. Empty parts do not
//! appear on the page.
//!
//! Features are referred to by number everywhere: in links, in the tree, in health notes. The number of a feature is
//! its row of Z, from 0. A number that is not among [`Report::features`] is shown without a link. Shares are fractions:
//! 0.25 is shown as 25%. Values that are not finite are shown as a dash. Text is not trusted and may hold anything.

use serde::{Deserialize, Serialize};

pub use crate::TokenLogit;

/// The whole page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Title of the page, for example the name of the model and the layer.
    pub title: String,
    /// Where the features come from.
    pub run: RunCard,
    /// The features, in any order. Their numbers must differ.
    pub features: Vec<ReportFeature>,
    /// Names of the groups that colour the map, referred to by [`ReportFeature::group`]. May be empty.
    pub groups: Vec<String>,
    /// How features merge into coarser ones, finest first. The nodes of `tree[0]` have features as children, those of
    /// `tree[1]` have nodes of `tree[0]`, and so on. Empty if there is no tree.
    pub tree: Vec<TreeLevel>,
    /// The concepts that features were compared with. Empty if there were none.
    pub concepts: Vec<ConceptRow>,
    /// What was found about the fit as a whole. Empty if it was not looked at.
    pub health: Vec<HealthNote>,
}

/// The run that the features come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunCard {
    /// Name of the file of activations, if they came from one.
    pub data: Option<String>,
    /// Tokens n.
    pub tokens: u64,
    /// Neurons d.
    pub neurons: u64,
    /// Type of the activations: `f32`, `f16` or `bf16`.
    pub dtype: String,
    /// Options of the fit for people, name and value, in the order in which they are shown: `("solver", "projected-ls")`.
    pub options: Vec<(String, String)>,
    /// `cpu` or `gpu`.
    pub engine: String,
    /// The adapter's or processor's name.
    pub adapter: String,
    /// ‖X − YZ‖² / ‖X‖². The headline shows one minus this as the explained share.
    pub relative_error: f64,
    /// Relative error after each iteration.
    pub loss_curve: Vec<f64>,
    /// The iteration, from 1, whose factors are shown. 0 if not known.
    pub best_iteration: u32,
    /// Why the fit ended, in words, such as `converged`.
    pub stop_reason: String,
    /// Wall time of the fit in seconds.
    pub seconds: f64,
    /// Version of unmix.
    pub version: String,
    /// The date, in any notation. It is left out if the page should be the same from one call to the next.
    pub date: Option<String>,
    /// Numbers of the features that no token uses.
    pub dead_features: Vec<usize>,
}

/// One feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReportFeature {
    /// Its number: the row of Z, from 0.
    pub number: usize,
    /// A name of a few words, for example given by a person or a language model.
    pub label: Option<String>,
    /// The different words at which it is strongest, strongest first. They stand in for a label if there is none.
    pub words: Vec<WordCount>,
    /// How much the relative error would rise without the feature.
    pub explained_share: f64,
    /// ‖y_k‖²‖z_k‖² / ‖X‖².
    pub energy_share: f64,
    /// Share of tokens whose coefficient is above zero.
    pub active_share: f64,
    /// Largest coefficient.
    pub max_coefficient: f64,
    /// Euclidean norm of the feature.
    pub norm: f64,
    /// How its coefficients above zero are distributed.
    pub histogram: Option<Histogram>,
    /// Quantiles of its coefficients above zero, ascending. May be empty.
    pub quantiles: Vec<Quantile>,
    /// Where it is strongest, strongest first.
    pub contexts: Vec<Context>,
    /// Tokens that it makes a model say, strongest first. Empty if not computed.
    pub promoted: Vec<TokenLogit>,
    /// Tokens that it keeps a model from saying, strongest first. Empty if not computed.
    pub suppressed: Vec<TokenLogit>,
    /// Concepts that it detects beyond chance. The one that names it comes first. Empty if there are none, or if they
    /// were not computed.
    pub concepts: Vec<ConceptScore>,
    /// The features whose directions are most similar to its own, most similar first.
    pub neighbours: Vec<Neighbour>,
    /// The features that are active at the same tokens, strongest first.
    pub co_active: Vec<CoActive>,
    /// Its neurons, largest magnitude first: all of them, or the strongest ones.
    pub neurons: Vec<NeuronWeight>,
    /// What a reader should know before trusting it, such as `near copy of #31 (cosine 0.98)`. Mostly empty.
    pub notes: Vec<String>,
    /// Place on the map, [x, y] with both in 0..=1, as [`map_positions`](crate::report::map_positions) gives them.
    pub position: Option<[f32; 2]>,
    /// Its group, an index into [`Report::groups`]. It gives the feature its colour on the map.
    pub group: Option<usize>,
}

/// A word, and how many of a feature's strongest occurrences have this spelling.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WordCount {
    /// The word.
    pub word: String,
    /// Occurrences, at least 1.
    pub count: usize,
}

/// How many coefficients lie in each of several adjoining bins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Edges of the bins, ascending. There is one more of them than bins.
    pub edges: Vec<f64>,
    /// Tokens in each bin. The page draws them on a logarithmic scale.
    pub counts: Vec<u64>,
}

/// A quantile of coefficients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    /// The share of the coefficients that are not above the value: 0.5 for the median.
    pub probability: f64,
    /// The value.
    pub value: f64,
}

/// A stretch of text with the strength of a feature, or of a node of the tree, at each token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// Its tokens in order.
    pub pieces: Vec<Piece>,
    /// Index into `pieces` of the token that the context was chosen for.
    pub peak: usize,
    /// Coefficient at the peak.
    pub coefficient: f64,
    /// Number of the prompt that it comes from, if known.
    pub prompt: Option<i64>,
    /// A label of the prompt, for example its concept.
    pub prompt_label: Option<String>,
    /// Whether the prompt has more text before.
    pub cut_before: bool,
    /// Whether the prompt has more text after it.
    pub cut_after: bool,
    /// How many other contexts with the same text are left out for this one.
    pub merged: usize,
}

/// A token of a context.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// Its text, blanks included.
    pub text: String,
    /// Its coefficient relative to the feature's largest, 0..=1. The page stores it in 255 steps.
    pub strength: f32,
}

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

/// A feature of similar direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its number.
    pub feature: usize,
    /// Cosine of the two, −1..=1.
    pub cosine: f64,
}

/// A feature that is active at the same tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoActive {
    /// Its number.
    pub feature: usize,
    /// Correlation of the two columns of coefficients over all tokens, −1..=1.
    pub correlation: f64,
}

/// A neuron of a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NeuronWeight {
    /// Column of the activations.
    pub neuron: usize,
    /// Its weight, for the feature scaled to unit norm, −1..=1.
    pub weight: f64,
}

/// A level of the tree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TreeLevel {
    /// Its name, for example `25 groups`. The page numbers levels without a name.
    pub name: Option<String>,
    /// Its nodes. Children refer to them by index.
    pub nodes: Vec<TreeNode>,
}

/// A coarser feature, made of features or of nodes of the level below.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TreeNode {
    /// A name of a few words.
    pub label: Option<String>,
    /// The words at which it is strongest, strongest first. They stand in for a label if there is none.
    pub words: Vec<WordCount>,
    /// What it is made of, strongest first.
    pub children: Vec<TreeChild>,
    /// Where it is strongest, over the contexts of all its children.
    pub contexts: Vec<Context>,
}

/// A child of a node. A feature or node may be a child of several nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TreeChild {
    /// At the finest level, the number of the feature. At the others, the index of the node in the level below.
    pub child: usize,
    /// How much of the child belongs to the node, at least 0. It is at most about 1, and larger is stronger.
    pub strength: f64,
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
    /// How often shuffled labels do as well for any pair of a feature and a concept.
    pub p_value: Option<f64>,
    /// Whether that feature detects the concept beyond chance.
    pub detected: bool,
    /// AUC of the difference of means, a supervised direction, for comparison.
    pub diff_means_auc: Option<f64>,
}

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
