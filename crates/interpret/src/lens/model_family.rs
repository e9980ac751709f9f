//! Where the parts of a model in memory are. Modules have the names that their tensors have in files.

use super::NormKind;
use super::family::Family;
use super::names::PREFIXES;

/// What is known about a model by its `model_type`, for those who run it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFamily {
    /// The module that holds the layers, behind one of [`layer_prefixes`].
    pub layers: &'static str,
    /// Modules of a layer that may be its down-projection.
    pub down: &'static [&'static str],
    /// The final norm's weights, behind the same prefix.
    pub final_norm: &'static str,
    /// Kind of the final norm.
    pub norm: NormKind,
    /// Entry of the configuration with the ε of the norms, if there is such an entry, and the value if it is left out.
    pub epsilon: (Option<&'static str>, f64),
    /// Weights of the layer's norms between the MLP's down-projection and the residual stream, the first one applied
    /// first. Some models of the type may be without some of them.
    pub post_norms: Vec<&'static str>,
    /// Entry of the configuration by which a layer's output is multiplied before it is added to the residual stream.
    pub residual_multiplier: Option<&'static str>,
}

impl ModelFamily {
    /// The family of a `model_type`, if it is known.
    pub fn of(model_type: &str) -> Option<ModelFamily> {
        let family = Family::of(model_type)?;
        Some(ModelFamily {
            layers: family.names.layers,
            down: family.names.down,
            final_norm: family.names.final_norm,
            norm: family.norm,
            epsilon: family.epsilon,
            post_norms: family.post_norms.iter().filter(|norm| norm.behind_mlp).map(|norm| norm.name).collect(),
            residual_multiplier: family.residual_multiplier,
        })
    }

    /// Every `model_type` that is known.
    pub fn model_types() -> impl Iterator<Item = &'static str> {
        Family::model_types()
    }
}

/// What may come before the layers of a model that predicts tokens, with a dot behind it unless it is empty.
pub fn layer_prefixes() -> &'static [&'static str] {
    &PREFIXES
}
