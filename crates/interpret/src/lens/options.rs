//! What to read of a model's weights, and what was found.

use serde::Serialize;

/// The norm between residual stream and unembedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormKind {
    /// No norm: directions go into the unembedding as they are.
    None,
    /// Root mean square: x / √(mean(x²) + ε) ⊙ w.
    Rms,
    /// Root mean square with weights stored as their difference from 1, as in Gemma: x / √(mean(x²) + ε) ⊙ (1 + w).
    RmsPlusOne,
    /// Layer norm: (x − mean(x)) / √(var(x) + ε) ⊙ w + b.
    Layer,
    /// Layer norm with weights stored as their difference from 1, as in Nemotron.
    LayerPlusOne,
}

impl NormKind {
    /// All kinds.
    pub const ALL: [NormKind; 5] =
        [NormKind::None, NormKind::Rms, NormKind::RmsPlusOne, NormKind::Layer, NormKind::LayerPlusOne];

    /// The name: `none`, `rms`, `rms-plus-one`, `layer` or `layer-plus-one`.
    pub const fn name(self) -> &'static str {
        match self {
            NormKind::None => "none",
            NormKind::Rms => "rms",
            NormKind::RmsPlusOne => "rms-plus-one",
            NormKind::Layer => "layer",
            NormKind::LayerPlusOne => "layer-plus-one",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<NormKind> {
        NormKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether weights are stored as their difference from 1.
    pub(super) fn adds_one(self) -> bool {
        matches!(self, NormKind::RmsPlusOne | NormKind::LayerPlusOne)
    }

    /// Whether the mean is subtracted and a bias is added.
    pub(super) fn is_layer(self) -> bool {
        matches!(self, NormKind::Layer | NormKind::LayerPlusOne)
    }
}

/// What to read of a model's weights; see [`Readout::open`](super::Readout::open). Whatever is left out follows from
/// the `model_type` of the model's configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadoutOptions {
    /// The model's `model_type`, instead of that in its configuration.
    pub model_type: Option<String>,
    /// Number of the layer, from 0. Needed if the weights have several layers and the down-projection is not named.
    pub layer: Option<u32>,
    /// Number of the expert, from 0, if the layer routes tokens between experts.
    pub expert: Option<u32>,
    /// Name of the down-projection W_out, [d_model, d] or [d, d_model], or of the tensor with those of all experts,
    /// which has one more dimension.
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
    /// The `model_type` that said how the model is built. Absent if names and options did.
    pub model_type: Option<String>,
    /// Name of the down-projection.
    pub down_projection: String,
    /// The layer of the down-projection, if its name or the options say it.
    pub layer: Option<u32>,
    /// The expert, if the down-projection is one of several in its tensor, or if its name has a number.
    pub expert: Option<u32>,
    /// Name of its bias, if it has one.
    pub bias: Option<String>,
    /// Names of the norms between down-projection and residual stream, the first one applied first.
    pub post_norms: Vec<String>,
    /// Name of the final norm's weights. Absent if it has none.
    pub final_norm: Option<String>,
    /// Kind of the final norm.
    pub norm: NormKind,
    /// The final norm's ε.
    pub epsilon: f64,
    /// Name of the unembedding.
    pub unembedding: String,
    /// Name of the unembedding's bias, if it has one.
    pub unembedding_bias: Option<String>,
    /// The factor of the logits.
    pub logit_scale: f64,
    /// c, if logits x are capped: c tanh(x / c).
    pub logit_cap: Option<f64>,
}
