//! Which model a fit is about, and which place in it. Only some files of activations name this, so the caller says it.

use unmix_data::Origin;

use super::{ExportError, Tool};

/// A place in a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// The model's name, as the tool knows it.
    pub model: Option<String>,
    /// Index of the layer.
    pub layer: Option<u32>,
    /// Name of the hook. By default, the hook of the MLP's activations in the layer.
    pub hook: Option<String>,
}

impl Site {
    /// This place of activations from `origin`, for a tool.
    ///
    /// # Errors
    /// If the tool names a hook, none is given, and the activations are known to be of another site than the default hook's.
    pub fn checked(self, tool: Tool, origin: &Origin) -> Result<Site, ExportError> {
        match (origin.other_site(), &self.hook) {
            (Some(site), None) if tool.names_hook() => Err(ExportError::Missing {
                target: tool.name(),
                missing: format!(
                    "the fit is of activations at `{site}`, and the default is the hook of the MLP's neurons"
                ),
                advice: "name the hook".to_owned(),
            }),
            _ => Ok(self),
        }
    }

    /// Model and layer, for a target that needs both.
    pub(super) fn required(&self, target: &'static str) -> Result<(&str, u32), ExportError> {
        match (&self.model, self.layer) {
            (Some(model), Some(layer)) => Ok((model, layer)),
            (model, _) => Err(ExportError::Missing {
                target,
                missing: format!("the {} is not known", if model.is_none() { "model's name" } else { "layer" }),
                advice: "the format needs both; give --model-name NAME and --layer N".to_owned(),
            }),
        }
    }

    /// The hook, as TransformerLens calls it: the one given, or `blocks.L.mlp.hook_post`.
    pub(super) fn hook_name(&self) -> Option<String> {
        self.hook.clone().or_else(|| self.layer.map(|layer| format!("blocks.{layer}.mlp.hook_post")))
    }

    /// The module, as Hugging Face transformers calls it: the one given, or `layers.L.mlp`.
    pub(super) fn module_name(&self) -> String {
        let of_layer = || self.layer.map_or_else(|| "mlp".to_owned(), |layer| format!("layers.{layer}.mlp"));
        self.hook.clone().unwrap_or_else(of_layer)
    }
}
