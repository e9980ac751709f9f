//! The options that say where the weights of the model are.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use unmix::DenseMatrix;
use unmix_data::{Weights, unknown_token};
use unmix_interpret::{DownProjection, LensChance, LensReading, LensWords, NormKind, Readout, ReadoutOptions};

use crate::failure::Failure;
use crate::vocabulary_words::VocabularyWords;

/// Promoted and suppressed tokens of each feature, in reports and exports.
const LENS_TOKENS: usize = 12;

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

    /// Layer of the activations, from 0; needed if the weights have several layers
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

    /// Opens the weights that lead from `neurons` neurons to the logits. Rows of the unembedding after the last one
    /// that `words` know are padding.
    pub fn readout(&self, neurons: usize, words: &VocabularyWords) -> Result<Readout, Failure> {
        let readout = Readout::open(&self.weights()?, neurons, &self.options())?;
        words.check(readout.tokens() as u64)?;
        let rows = u32::try_from(readout.tokens()).unwrap_or(u32::MAX);
        let last = (0..rows).rev().find(|&id| words.text(id).is_some());
        Ok(match last {
            Some(last) => readout.with_tokens(last as usize + 1),
            None => readout,
        })
    }

    /// Opens the weights that lead from `neurons` neurons to the residual stream.
    pub fn down_projection(&self, neurons: usize) -> Result<DownProjection, Failure> {
        Ok(DownProjection::open(&self.weights()?, neurons, &self.options())?)
    }

    /// For each of `features` [K, d], the tokens that it promotes and suppresses most. Tokens that `words` do not know
    /// appear by their id.
    pub fn promoted_and_suppressed(
        &self,
        features: &DenseMatrix,
        words: &VocabularyWords,
    ) -> Result<Vec<LensWords>, Failure> {
        let readout = self.readout(features.columns, words)?;
        let readings = readout.read(&readout.directions(features)?, LENS_TOKENS)?;
        Ok(in_words(&readings, words))
    }

    /// The same, but only the tokens that random directions do not reach, and what that takes.
    pub fn promoted_beyond_chance(
        &self,
        features: &DenseMatrix,
        words: &VocabularyWords,
    ) -> Result<(Vec<LensWords>, LensChance), Failure> {
        let readout = self.readout(features.columns, words)?;
        let (readings, chance) = readout.read_beyond_chance(features, LENS_TOKENS, 0)?;
        Ok((in_words(&readings, words), chance))
    }

    fn weights(&self) -> Result<Weights, Failure> {
        if !self.is_given() {
            return Err(Failure::Usage(
                "--model PATH is needed: the safetensors file or the folder of the model whose activations were \
                 factorized; it may be given several times"
                    .to_owned(),
            ));
        }
        Ok(Weights::open(&self.model)?)
    }

    fn options(&self) -> ReadoutOptions {
        ReadoutOptions {
            model_type: self.model_type.clone(),
            layer: self.layer,
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

fn in_words(readings: &[LensReading], words: &VocabularyWords) -> Vec<LensWords> {
    let text = |id| words.text(id).unwrap_or_else(|| unknown_token(id.into()));
    readings.iter().map(|reading| reading.in_words(text)).collect()
}
