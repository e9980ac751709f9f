//! The options that say where the weights of the model are.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use unmix_data::{Origin, Weights};
use unmix_interpret::{DownProjection, NormKind, Readout, ReadoutOptions, VocabularyWords};

use crate::failure::Failure;

/// The model whose activations were factorized. Its tensors, the kind of its norms and what it does to logits follow
/// from the `model_type` in the config.json beside its weights.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Weights of the model: a safetensors file, a folder of them, or a *.safetensors.index.json; may be given several times
    #[arg(long, value_name = "PATH")]
    pub model: Vec<PathBuf>,

    /// Type of the model, as `model_type` in its config.json; needed if that is missing or unknown
    #[arg(long, requires = "model", value_name = "TYPE")]
    pub model_type: Option<String>,

    /// Layer of the activations, from 0; needed if the weights have several layers and the activations were in files that
    /// do not name theirs
    #[arg(long, value_name = "N")]
    pub layer: Option<u32>,

    /// Expert of the activations, from 0, if the layer routes tokens between experts; name a shared expert with
    /// --down-proj
    #[arg(long, requires = "model", value_name = "N")]
    pub expert: Option<u32>,

    /// Tensor of the MLP's down-projection, [width, neurons] or [neurons, width], or the tensor of all experts
    #[arg(long, requires = "model", value_name = "NAME")]
    pub down_proj: Option<String>,

    /// Tensor of the unembedding, [tokens, width]
    #[arg(long, requires = "model", value_name = "NAME")]
    pub unembedding: Option<String>,

    /// Tensor of the final norm's weights, [width]
    #[arg(long, requires = "model", value_name = "NAME")]
    pub final_norm: Option<String>,

    /// Kind of the final norm, if neither config.json nor the file's metadata say it
    #[arg(long, requires = "model", value_enum, value_name = "KIND")]
    pub norm: Option<Norm>,

    /// Epsilon of the final norm, if neither config.json nor the file's metadata have it
    #[arg(long, requires = "model", value_name = "E", allow_negative_numbers = true)]
    pub norm_epsilon: Option<f64>,
}

/// Kind of the final norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Norm {
    /// Root mean square
    Rms,
    /// Root mean square with weights stored as their difference from 1, as in Gemma
    RmsPlusOne,
    /// Layer norm
    Layer,
    /// Layer norm with weights stored as their difference from 1, as in Nemotron
    LayerPlusOne,
    /// No norm
    None,
}

impl ModelArgs {
    /// Whether weights are given.
    pub fn is_given(&self) -> bool {
        !self.model.is_empty()
    }

    /// Opens the weights that lead from `neurons` neurons, whose activations are from `origin`, to the logits of the tokens that `words` know.
    pub fn readout(&self, neurons: usize, origin: &Origin, words: &VocabularyWords) -> Result<Readout, Failure> {
        let readout = Readout::open(&self.weights(origin)?, neurons, &self.options(origin))?;
        warn_of_other_layer(origin, readout.names().layer);
        Ok(readout.for_vocabulary(words)?)
    }

    /// Opens the weights that lead from `neurons` neurons, whose activations are from `origin`, to the residual stream.
    pub fn down_projection(&self, neurons: usize, origin: &Origin) -> Result<DownProjection, Failure> {
        let down_projection = DownProjection::open(&self.weights(origin)?, neurons, &self.options(origin))?;
        warn_of_other_layer(origin, down_projection.layer());
        Ok(down_projection)
    }

    /// The layer of the activations: the one that is given, or else the one that their files named. A tensor that is named has a layer of
    /// its own.
    pub fn layer(&self, origin: &Origin) -> Option<u32> {
        self.layer.or(origin.layer.filter(|_| self.down_proj.is_none()))
    }

    fn weights(&self, origin: &Origin) -> Result<Weights, Failure> {
        if !self.is_given() {
            return Err(Failure::Usage(
                "--model PATH is needed: the safetensors file or the folder of the model whose activations were \
                 factorized; it may be given several times"
                    .to_owned(),
            ));
        }
        if let Some(site) = origin.other_site() {
            return Err(Failure::Usage(format!(
                "--model: the fit is of activations at `{site}`, and the MLP's down-projection takes those of the MLP's neurons; leave \
                 --model out"
            )));
        }
        Ok(Weights::open(&self.model)?)
    }

    fn options(&self, origin: &Origin) -> ReadoutOptions {
        ReadoutOptions {
            model_type: self.model_type.clone(),
            layer: self.layer(origin),
            expert: self.expert,
            down_projection: self.down_proj.clone(),
            unembedding: self.unembedding.clone(),
            final_norm: self.final_norm.clone(),
            bias: None,
            norm: self.norm.map(|norm| match norm {
                Norm::Rms => NormKind::Rms,
                Norm::RmsPlusOne => NormKind::RmsPlusOne,
                Norm::Layer => NormKind::Layer,
                Norm::LayerPlusOne => NormKind::LayerPlusOne,
                Norm::None => NormKind::None,
            }),
            epsilon: self.norm_epsilon,
        }
    }
}

/// Warns if the weights, or an export, are of another layer than the activations.
pub fn warn_of_other_layer(origin: &Origin, layer: Option<u32>) {
    if let (Some(known), Some(layer)) = (origin.layer, layer)
        && known != layer
    {
        log::warn!(
            "the fit is of activations of layer {known}, but layer {layer} was asked for; give --layer {known}, unless another layer is what \
             you want"
        );
    }
}
