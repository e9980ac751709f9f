//! The weights between the neurons of one layer and the logits.

use unmix::DenseMatrix;
use unmix_data::Weights;

use super::down_projection::DownProjection;
use super::head::Head;
use super::lookup::{bias_of, vector_of_width};
use super::model::{Model, Until};
use super::norm::Norm;
use super::place::Part;
use super::{LensError, ReadoutNames, ReadoutOptions, Role};
use crate::VocabularyWords;

/// The way from the neurons of one layer to the logits: the down-projection, the norms after it, if the model has any,
/// the final norm, and the unembedding with its bias, scale and cap. Matrices stay in their files and are read one
/// block at a time.
#[derive(Clone, Debug)]
pub struct Readout {
    down_projection: DownProjection,
    bias: Option<Vec<f32>>,
    pub(super) norm: Norm,
    pub(super) head: Head,
    names: ReadoutNames,
}

impl Readout {
    /// Finds the tensors in the weights of a model, for features of `neurons` neurons.
    ///
    /// How the model is built follows from its type. This is the `model_type` of the options, else the one in the
    /// `config.json` beside the weights. A model of several parts is read as its text model. The type gives the names,
    /// kind, bias and ε of the norms, and the bias, scale and cap of the logits. A type that is not known is an error,
    /// unless the options name the down-projection, the unembedding, the final norm and its kind. In that case nothing
    /// else is applied but a `final_logit_softcapping` of the configuration, and a bias beside the unembedding.
    ///
    /// Without any type, known names are still found. These include the names `down_proj`, `unembedding` and
    /// `final_norm` of files that hold nothing else. The kind of the norm then comes from the options, or from the
    /// metadata (`norm`: `rms`, `rms-plus-one`, `layer` or `layer-plus-one`) of the file that holds it. Names that only
    /// models with layer norms have, such as `ln_f`, tell it as well.
    ///
    /// The shape of the down-projection shows which side the neurons are on. If it is square, the type does.
    ///
    /// The ε of the norm comes from the options, else from the file's metadata (`eps`), else from the configuration,
    /// else from the type. It is 1e-5 if nothing says it. Rows of the unembedding beyond the configuration's
    /// `vocab_size` are padding rather than tokens.
    ///
    /// # Errors
    /// If the type of the model or the kind of its norm is not known. If a tensor is not found, is ambiguous, has a
    /// size that does not go with the others, or has a type that cannot be read.
    pub fn open(weights: &Weights, neurons: usize, options: &ReadoutOptions) -> Result<Readout, LensError> {
        let model = Model::of(weights, options, Until::Logits)?;
        let place = DownProjection::place(&model, neurons)?;
        let down_projection = DownProjection::at(&model, &place, neurons)?;
        let width = down_projection.width();
        let head = Head::of(&model, &place, width)?;
        let norm = Norm::last(&model, &place, width)?;
        let bias_name = options.bias.clone().or_else(|| bias_of(weights, &place.name));
        let bias = bias_name.as_deref().map(|name| vector_of_width(weights, name, Role::DownProjection, width));
        let bias = bias.transpose()?;
        let names = ReadoutNames {
            model_type: model.family.map(|(model_type, _)| model_type.to_owned()),
            layer: down_projection.layer(),
            expert: match place.part {
                Part::Expert(expert) => Some(expert),
                Part::Experts => options.expert,
                Part::Mlp => None,
            },
            bias: bias_name,
            post_norms: down_projection.post_norms().map(ToOwned::to_owned).collect(),
            final_norm: norm.name.clone(),
            norm: norm.kind,
            epsilon: norm.epsilon,
            unembedding: head.unembedding.name().to_owned(),
            unembedding_bias: head.bias.as_ref().map(|(name, _)| name.clone()),
            logit_scale: head.scale,
            logit_cap: head.cap,
            down_projection: place.name,
        };
        Ok(Readout { down_projection, bias, norm, head, names })
    }

    /// The same readout, but only the first `tokens` rows of the unembedding stand for tokens, if it has more. The rows
    /// after them are padding. The first row always stands for a token.
    #[must_use]
    pub fn with_tokens(mut self, tokens: usize) -> Readout {
        self.head.tokens = self.head.tokens.min(tokens.max(1));
        self
    }

    /// The same readout for the tokens of a vocabulary. Rows of the unembedding after the last one that `words` know are
    /// padding.
    ///
    /// # Errors
    /// If the vocabulary cannot belong to the unembedding.
    pub fn for_vocabulary(self, words: &VocabularyWords) -> Result<Readout, LensError> {
        words.check(self.tokens() as u64)?;
        let rows = u32::try_from(self.tokens()).unwrap_or(u32::MAX);
        let last = (0..rows).rev().find(|&id| words.text(id).is_some());
        Ok(match last {
            Some(last) => self.with_tokens(last as usize + 1),
            None => self,
        })
    }

    /// Which tensors are used, and how.
    pub fn names(&self) -> &ReadoutNames {
        &self.names
    }

    /// Neurons d.
    pub fn neurons(&self) -> usize {
        self.down_projection.neurons()
    }

    /// Width of the residual stream, d_model.
    pub fn width(&self) -> usize {
        self.down_projection.width()
    }

    /// Tokens that the unembedding has, without padding.
    pub fn tokens(&self) -> usize {
        self.head.tokens
    }

    /// Rows of the unembedding after those of the tokens.
    pub fn padding(&self) -> usize {
        self.head.unembedding.rows() - self.head.tokens
    }

    /// The down-projection's bias, d_model numbers, if it has one. It is the same for all features, so it is not part
    /// of any direction.
    pub fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// What features write into the residual stream: [`DownProjection::directions`].
    ///
    /// # Errors
    /// As [`DownProjection::directions`].
    pub fn directions(&self, features: &DenseMatrix) -> Result<DenseMatrix, LensError> {
        self.down_projection.directions(features)
    }
}
