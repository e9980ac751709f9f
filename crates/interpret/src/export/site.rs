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
    /// This place of activations from `origin`, for a tool. If no name of the model is given, it is that in `origin`, unless the tool does
    /// not know the model by that.
    ///
    /// # Errors
    /// If the tool names a hook, none is given, and the activations are known to be of another site than the default hook's. If the tool
    /// needs the model's name or the layer, and it is not known.
    pub fn for_tool(mut self, tool: Tool, origin: &Origin) -> Result<Site, ExportError> {
        if let (Some(site), None, true) = (origin.other_site(), &self.hook, tool.names_hook()) {
            return Err(ExportError::Missing {
                target: tool.name(),
                missing: format!(
                    "the fit is of activations at `{site}`, and the default is the hook of the MLP's neurons"
                ),
                advice: "name the hook".to_owned(),
            });
        }
        let known = origin.model.as_deref();
        self.model = self.model.or_else(|| known.filter(|name| tool.knows_model(name)).map(str::to_owned));
        if tool.needs_place() {
            self.required(tool, known)?;
        }
        Ok(self)
    }

    /// Model and layer, for a tool that needs both. The files of the activations have the name `known` for the model.
    pub(super) fn required(&self, tool: Tool, known: Option<&str>) -> Result<(&str, u32), ExportError> {
        let missing = match (&self.model, self.layer, known) {
            (Some(model), Some(layer), _) => return Ok((model, layer)),
            (Some(_), None, _) => "the layer is not known".to_owned(),
            (None, _, None) => "the model's name is not known".to_owned(),
            (None, _, Some(name)) => {
                format!("the files of the activations call the model {name:?}, and the tool calls it otherwise")
            }
        };
        let options = match (&self.model, self.layer) {
            (None, None) => "--model-name NAME and --layer N",
            (None, Some(_)) => "--model-name NAME",
            (Some(_), _) => "--layer N",
        };
        let advice = format!("the format needs the model's name and the layer; give {options}");
        Err(ExportError::Missing { target: tool.name(), missing, advice })
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
