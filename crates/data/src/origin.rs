//! The place in a model that activations are from.

use serde::{Deserialize, Serialize};

use crate::ActivationFile;
use crate::texts::quoted_name;

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
            model: common("model").filter(|name| !name.is_empty()),
            layer: common("layer").and_then(|layer| layer.parse().ok()),
            site: common("site"),
        }
    }

    /// What the files say differently, in words: for each such key, two of the files and what they say.
    pub fn differences(files: &[ActivationFile]) -> Vec<String> {
        let difference = |key: &str| {
            let mut said = files.iter().filter_map(|file| Some((file.metadata().get(key)?, file.path().display())));
            let (value, path) = said.next()?;
            let (other, other_path) = said.find(|(other, _)| *other != value)?;
            let (value, other) = (quoted_name(value), quoted_name(other));
            Some(format!("the {key} is {value} in {path} and {other} in {other_path}"))
        };
        ["model", "layer", "site"].into_iter().filter_map(difference).collect()
    }

    /// What layer or site this is and what it is in `other`, in words, if they differ.
    pub fn difference(&self, other: &Origin) -> Option<(String, String)> {
        let layers = self.layer.zip(other.layer).filter(|(own, other)| own != other);
        let sites = self.site.as_ref().zip(other.site.as_ref()).filter(|(own, other)| own != other);
        layers
            .map(|(own, other)| (format!("layer {own}"), format!("layer {other}")))
            .or_else(|| sites.map(|(own, other)| (quoted_name(own), quoted_name(other))))
    }

    /// Whether both name a model, a layer and a site, and the same ones.
    pub fn is_same_place(&self, other: &Origin) -> bool {
        self == other && self.model.is_some() && self.layer.is_some() && self.site.is_some()
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
