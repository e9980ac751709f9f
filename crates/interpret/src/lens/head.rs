//! From the normed residual stream to logits: unembedding, its bias, scale and cap.

use unmix_data::WeightMatrix;

use super::family::{HeadBias, Scale};
use super::lookup::{bias_name, bias_of, first, vector_of_length, wrong_size};
use super::model::Model;
use super::place::Place;
use super::{LensError, Role};

/// What turns a residual stream into logits. The matrix stays in its file.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub unembedding: WeightMatrix,
    /// Its name, and one number for each row of the unembedding.
    pub bias: Option<(String, Vec<f32>)>,
    pub scale: f64,
    pub cap: Option<f64>,
    /// Number of rows that stand for tokens. The rows after them are padding.
    pub tokens: usize,
}

impl Head {
    /// The head of the model whose down-projection is at `place` and writes into a residual stream of `width`
    /// dimensions.
    pub(super) fn of(model: &Model<'_>, place: &Place, width: usize) -> Result<Head, LensError> {
        let Model { weights, options, .. } = model;
        let separate = place.unembeddings();
        let name = match &options.unembedding {
            Some(name) => name.clone(),
            None => {
                let tied = model.config.is_tied().or_else(|| model.family().map(|family| family.is_tied));
                let names = separate.iter().cloned().chain(place.embeddings(tied)).collect();
                first(Role::Unembedding, weights, names)?
            }
        };
        let unembedding = weights.matrix(&name)?;
        if unembedding.columns() != width {
            let turned = if unembedding.rows() == width { "; it is transposed" } else { "" };
            let expected =
                format!("[vocabulary, {width}], as the down-projection {:?} has {width}{turned}", place.name);
            return Err(wrong_size(Role::Unembedding, weights, &name, expected));
        }
        let rows = unembedding.rows();
        let bias_name = match model.family().map(|family| family.head_bias) {
            None => bias_of(weights, &name),
            Some(HeadBias::Never) => None,
            Some(HeadBias::If(key)) if model.config.flag(key) != Some(true) => None,
            Some(HeadBias::Always | HeadBias::If(_)) => {
                // The bias is named after the head even if the matrix is the embedding.
                let names = [name].iter().chain(&separate).map(|name| bias_name(name)).collect();
                Some(first(Role::UnembeddingBias, weights, names)?)
            }
        };
        let bias = match bias_name {
            Some(name) => {
                let expected = format!("{rows} entries, one for each row of the unembedding");
                let values = vector_of_length(weights, &name, Role::UnembeddingBias, rows, expected)?;
                Some((name, values))
            }
            None => None,
        };
        let tokens = model.config.tokens().and_then(|tokens| usize::try_from(tokens).ok());
        let tokens = tokens.filter(|&tokens| tokens > 0).map_or(rows, |tokens| tokens.min(rows));
        Ok(Head { unembedding, bias, scale: scale(model)?, cap: cap(model)?, tokens })
    }

    /// The logit of `token`. `product` is its row of the unembedding times the normed residual stream.
    pub(super) fn logit(&self, token: usize, product: f32) -> f32 {
        if self.bias.is_none() && self.scale == 1.0 && self.cap.is_none() {
            return product;
        }
        let bias = self.bias.as_ref().map_or(0.0, |(_, bias)| f64::from(bias[token]));
        let logit = (f64::from(product) + bias) * self.scale;
        self.cap.map_or(logit, |cap| cap * (logit / cap).tanh()) as f32
    }
}

fn scale(model: &Model<'_>) -> Result<f64, LensError> {
    let number = |key, default| -> Result<f64, LensError> {
        match model.config.number(key, Some(default))? {
            Some(scale) if scale != 0.0 => Ok(scale),
            Some(scale) => {
                Err(LensError::Config { key, found: scale.to_string(), expected: "a number other than zero" })
            }
            None => Ok(default),
        }
    };
    match model.family().map_or(Scale::One, |family| family.scale) {
        Scale::One => Ok(1.0),
        Scale::Times(key, default) => number(key, default),
        Scale::Over(key, default) => Ok(number(key, default)?.recip()),
    }
}

fn cap(model: &Model<'_>) -> Result<Option<f64>, LensError> {
    const KEY: &str = "final_logit_softcapping";
    // The entry has only one meaning, so it counts in models of unknown type as well.
    let Some(default) = model.family().map_or(Some(None), |family| family.cap) else { return Ok(None) };
    match model.config.number(KEY, default)? {
        Some(cap) if cap <= 0.0 => {
            Err(LensError::Config { key: KEY, found: cap.to_string(), expected: "a number above zero, or null" })
        }
        cap => Ok(cap),
    }
}
