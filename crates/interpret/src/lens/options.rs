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
    /// Layer norm with weights stored as their difference from one, as Nemotron has it.
    LayerPlusOne,
}

impl NormKind {
    /// Whether weights are stored as their difference from one.
    pub(super) fn adds_one(self) -> bool {
        matches!(self, NormKind::RmsPlusOne | NormKind::LayerPlusOne)
    }

    /// Whether the mean is subtracted and a bias added.
    pub(super) fn is_layer(self) -> bool {
        matches!(self, NormKind::Layer | NormKind::LayerPlusOne)
    }
}

/// What to read of a model's weights; see [`Readout::open`](super::Readout::open). What is left out follows from the
/// `model_type` of the model's configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadoutOptions {
    /// The model's `model_type`, instead of that in its configuration.
    pub model_type: Option<String>,
    /// Number of the layer, from 0; needed where the weights have several and the down-projection is not named.
    pub layer: Option<u32>,
    /// Number of the expert, from 0, where the layer has experts between which tokens are routed.
    pub expert: Option<u32>,
    /// Name of the down-projection W_out, [d_model, d] or [d, d_model], or of those of all experts, with one dimension more.
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
    /// The `model_type` that told how the model is built; absent where names and options did.
    pub model_type: Option<String>,
    /// Name of the down-projection.
    pub down_projection: String,
    /// The layer of the down-projection, if its name or the options tell it.
    pub layer: Option<u32>,
    /// The expert, where the down-projection is one of several in its tensor or its name has a number.
    pub expert: Option<u32>,
    /// Name of its bias, if it has one.
    pub bias: Option<String>,
    /// Names of the norms between down-projection and residual stream, the first one applied first.
    pub post_norms: Vec<String>,
    /// Name of the final norm's weights; absent if it has none.
    pub final_norm: Option<String>,
    /// Kind of the final norm.
    pub norm: NormKind,
    /// The final norm's ε.
    pub epsilon: f64,
    /// Name of the unembedding.
    pub unembedding: String,
    /// Name of the unembedding's bias, if it has one.
    pub unembedding_bias: Option<String>,
    /// What logits are multiplied by.
    pub logit_scale: f64,
    /// c, where logits x are capped: c tanh(x / c).
    pub logit_cap: Option<f64>,
}
