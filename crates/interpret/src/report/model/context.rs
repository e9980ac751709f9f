//! Text with the strength of a feature at each token.

use serde::{Deserialize, Serialize};

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

/// The tokens at which a feature has a strength between two bounds, with some of their contexts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// The strengths, in shares of the feature's largest coefficient.
    pub range: [f64; 2],
    /// Number of tokens in it.
    pub tokens: u64,
    /// Contexts of tokens that are spread evenly over those in it, strongest first. Contexts that are shown before it are
    /// left out.
    pub contexts: Vec<Context>,
}
