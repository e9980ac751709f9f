//! What to read of a model's weights, and what was found.

use serde::Serialize;

/// The norm between residual stream and unembedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormKind {
    /// None: directions go into the unembedding as they are.
    None,
    /// Root mean square: x / √(mean(x²) + ε) ⊙ w.
    Rms,
    /// Root mean square with weights stored as their difference from one: x / √(mean(x²) + ε) ⊙ (1 + w), as Gemma has it.
    RmsPlusOne,
    /// Layer norm: (x − mean(x)) / √(var(x) + ε) ⊙ w + b.
    Layer,
}

/// What to read of a model's weights; see [`Readout::open`](super::Readout::open). What is left out is found by the names
/// that common models give their tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadoutOptions {
    /// Number of the layer, from 0; needed where the weights have several, and without effect if the down-projection is
    /// named.
    pub layer: Option<u32>,
    /// Name of the down-projection W_out, [d_model, d] or [d, d_model].
    pub down_projection: Option<String>,
    /// Name of the unembedding, [vocabulary, d_model].
    pub unembedding: Option<String>,
    /// Name of the final norm's weights, d_model numbers.
    pub final_norm: Option<String>,
    /// Name of the down-projection's bias, d_model numbers.
    pub bias: Option<String>,
    /// Kind of the final norm.
    pub norm: Option<NormKind>,
    /// The final norm's ε.
    pub epsilon: Option<f64>,
}

/// What was found in a model's weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadoutNames {
    /// Name of the down-projection.
    pub down_projection: String,
    /// Name of its bias, if it has one.
    pub bias: Option<String>,
    /// Name of the norm between down-projection and residual stream, if there is one.
    pub post_norm: Option<String>,
    /// Name of the final norm's weights; absent without a norm.
    pub final_norm: Option<String>,
    /// Kind of the final norm.
    pub norm: NormKind,
    /// The final norm's ε.
    pub epsilon: f64,
    /// Name of the unembedding.
    pub unembedding: String,
}
