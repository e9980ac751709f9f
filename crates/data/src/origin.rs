//! The place in a model that activations are from.

use serde::{Deserialize, Serialize};

use crate::ActivationFile;

/// The place in a model that activations are from, as far as their files say it. The metadata of a safetensors file says it under the
/// keys `model`, `layer` and `site`, which `unmix.collect` writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// Name of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Layer, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<u32>,
    /// The module whose input or output they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
}

impl Origin {
    /// What all files say alike.
    pub fn of(files: &[ActivationFile]) -> Origin {
        let common = |key: &str| {
            let (first, others) = files.split_first()?;
            let value = first.metadata().get(key)?;
            others.iter().all(|file| file.metadata().get(key) == Some(value)).then(|| value.clone())
        };
        Origin {
            model: common("model"),
            layer: common("layer").and_then(|layer| layer.parse().ok()),
            site: common("site"),
        }
    }

    /// The site, if it is known to be another one than the neurons of an MLP. `unmix.collect` writes `mlp_out` and `resid` for those.
    pub fn other_site(&self) -> Option<&str> {
        self.site.as_deref().filter(|site| ["mlp_out", "resid"].contains(site))
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Origin::default()
    }
}
