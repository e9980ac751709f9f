//! The options that say where the weights of the model are.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use unmix::DenseMatrix;
use unmix_data::{Weights, unknown_token};
use unmix_interpret::{DownProjection, LensWords, NormKind, Readout, ReadoutOptions};

use crate::failure::Failure;
use crate::vocabulary_words::VocabularyWords;

/// Promoted and suppressed tokens of each feature in reports and exports.
const LENS_TOKENS: usize = 12;

/// The model whose activations were factorized. Names are found by themselves for GPT-2, Llama, Mistral, Qwen, SmolLM,
/// Gemma, GPT-NeoX, Pythia, OPT and models whose tensors are named like theirs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Weights of the model: a safetensors file, a folder of them, or a *.safetensors.index.json; may be given several times
    #[arg(long, value_name = "PATH")]
    pub model: Vec<PathBuf>,

    /// Layer of the activations, from 0; needed if the weights have several
    #[arg(long, value_name = "N")]
    pub layer: Option<u32>,

    /// Tensor of the MLP's down-projection, [width, neurons] or [neurons, width]
    #[arg(long, value_name = "NAME")]
    pub down_proj: Option<String>,

    /// Tensor of the unembedding, [tokens, width]
    #[arg(long, value_name = "NAME")]
    pub unembedding: Option<String>,

    /// Tensor of the final norm's weights, [width]
    #[arg(long, value_name = "NAME")]
    pub final_norm: Option<String>,

    /// Kind of the final norm, if the weights do not tell
    #[arg(long, value_enum, value_name = "KIND")]
    pub norm: Option<Norm>,

    /// Epsilon of the final norm, if neither config.json nor the file's metadata has it
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub norm_epsilon: Option<f64>,
}

/// Kind of the final norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Norm {
    /// Root mean square
    Rms,
    /// Root mean square with weights stored as their difference from one, as in Gemma
    RmsPlusOne,
    /// Layer norm
    Layer,
    /// No norm
    None,
}

impl ModelArgs {
    /// Whether weights are given.
    pub fn is_given(&self) -> bool {
        !self.model.is_empty()
    }

    /// Opens the weights that lead from `neurons` neurons to the logits.
    pub fn readout(&self, neurons: usize) -> Result<Readout, Failure> {
        Ok(Readout::open(&self.weights()?, neurons, &self.options())?)
    }

    /// Opens the weights that lead from `neurons` neurons to the residual stream.
    pub fn down_projection(&self, neurons: usize) -> Result<DownProjection, Failure> {
        Ok(DownProjection::open(&self.weights()?, neurons, &self.options())?)
    }

    /// For each of `features` [K, d] the tokens that it promotes and suppresses most; those that `words` do not know by
    /// their id.
    pub fn promoted_and_suppressed(
        &self,
        features: &DenseMatrix,
        words: &VocabularyWords,
    ) -> Result<Vec<LensWords>, Failure> {
        let readout = self.readout(features.columns)?;
        words.check(readout.tokens() as u64)?;
        let readings = readout.read(&readout.directions(features)?, LENS_TOKENS)?;
        let text = |id| words.text(id).unwrap_or_else(|| unknown_token(id.into()));
        Ok(readings.iter().map(|reading| reading.in_words(text)).collect())
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
            layer: self.layer,
            down_projection: self.down_proj.clone(),
            unembedding: self.unembedding.clone(),
            final_norm: self.final_norm.clone(),
            bias: None,
            norm: self.norm.map(|norm| match norm {
                Norm::Rms => NormKind::Rms,
                Norm::RmsPlusOne => NormKind::RmsPlusOne,
                Norm::Layer => NormKind::Layer,
                Norm::None => NormKind::None,
            }),
            epsilon: self.norm_epsilon,
        }
    }
}
