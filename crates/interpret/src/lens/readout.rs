//! The weights between the neurons of one layer and the logits.

use unmix::DenseMatrix;
use unmix_data::{WeightMatrix, Weights};

use super::down_projection::{DownProjection, plus, stores_difference_from_one, vector_of_width};
use super::families::{Place, bias_of, config_value, wrong_size};
use super::norm::Norm;
use super::{LensError, NormKind, ReadoutNames, ReadoutOptions, Role};

/// The way from the neurons of one layer to the logits: down-projection, the norm behind it where the model has one, final
/// norm and unembedding. Matrices stay in their files and are read a block at a time.
#[derive(Clone, Debug)]
pub struct Readout {
    down_projection: DownProjection,
    bias: Option<Vec<f32>>,
    pub(super) norm: Norm,
    pub(super) unembedding: WeightMatrix,
    names: ReadoutNames,
}

/// Where the final norm's ε is, in a file's metadata and in a model's configuration.
const METADATA_EPSILON: [&str; 3] = ["eps", "epsilon", "norm_epsilon"];
const CONFIG_EPSILON: [&str; 4] = ["rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "norm_eps"];
const DEFAULT_EPSILON: f64 = 1e-5;

impl Readout {
    /// Finds what it takes in the weights of a model, for features of `neurons` neurons. Names of GPT-2, Llama, Mistral,
    /// Qwen, SmolLM, Gemma, GPT-NeoX, Pythia, OPT and models like them are known, and of files that hold nothing else
    /// `down_proj`, `unembedding` and `final_norm`; `options` has the names of others.
    ///
    /// Which side of the down-projection the neurons are on shows in its shape; where it is square, it is taken to lie as in
    /// its family of models, or else as torch's `Linear`, [d_model, d].
    ///
    /// The norm's kind comes from the options, else from the metadata (`norm`: `rms` or `layer`) of the file that holds it,
    /// else from the family of models; ε from the options, else from that metadata (`eps`), else from the model's
    /// `config.json`, and is 1e-5 if none of them says it. Caps on logits, which keep their order, and biases of
    /// unembeddings are left out.
    ///
    /// # Errors
    /// If a tensor is not found, ambiguous, of a size that does not go with the others, or of a type that cannot be read.
    pub fn open(weights: &Weights, neurons: usize, options: &ReadoutOptions) -> Result<Readout, LensError> {
        let place = DownProjection::place(weights, neurons, options)?;
        let down_projection = DownProjection::at(weights, &place, neurons, options)?;
        let unembedding = match &options.unembedding {
            Some(name) => weights.matrix(name)?,
            None => weights.matrix(&place.unembedding(weights)?)?,
        };
        let width = down_projection.width();
        if unembedding.columns() != width {
            let turned = if unembedding.rows() == width { "; it is transposed" } else { "" };
            let expected =
                format!("[vocabulary, {width}], as the down-projection {:?} has {width}{turned}", place.name);
            return Err(wrong_size(Role::Unembedding, weights, unembedding.name(), expected));
        }
        let vector = |name: &str, role: Role| vector_of_width(weights, name, role, width);

        let bias_name = options.bias.clone().or_else(|| bias_of(weights, &place.name));
        let bias = bias_name.as_deref().map(|name| vector(name, Role::DownProjection)).transpose()?;
        let plus_one = stores_difference_from_one(weights, &place);
        let (norm_name, norm) = match options.norm {
            Some(NormKind::None) => {
                (None, Norm { kind: NormKind::None, gain: Vec::new(), bias: Vec::new(), epsilon: 0.0 })
            }
            _ => {
                let name = match &options.final_norm {
                    Some(name) => name.clone(),
                    None => place.final_norm(weights)?,
                };
                let kind = options.norm.unwrap_or_else(|| norm_kind(weights, &place, &name, plus_one));
                let gain = plus(vector(&name, Role::FinalNorm)?, kind == NormKind::RmsPlusOne);
                let bias = match bias_of(weights, &name).filter(|_| kind == NormKind::Layer) {
                    Some(bias) => vector(&bias, Role::FinalNorm)?,
                    None => Vec::new(),
                };
                let epsilon = options.epsilon.or_else(|| stored_epsilon(weights, &name)).unwrap_or(DEFAULT_EPSILON);
                if !epsilon.is_finite() || epsilon < 0.0 {
                    return Err(LensError::Epsilon(epsilon));
                }
                (Some(name), Norm { kind, gain, bias, epsilon })
            }
        };
        let names = ReadoutNames {
            down_projection: place.name.clone(),
            bias: bias_name,
            post_norm: place.post_norm(weights),
            final_norm: norm_name,
            norm: norm.kind,
            epsilon: norm.epsilon,
            unembedding: unembedding.name().to_owned(),
        };
        Ok(Readout { down_projection, bias, norm, unembedding, names })
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

    /// Tokens that the unembedding knows. May be more than the tokenizer has: some models pad it.
    pub fn tokens(&self) -> usize {
        self.unembedding.rows()
    }

    /// The down-projection's bias, d_model numbers, if it has one. It is the same for all features, so no direction contains
    /// it.
    pub fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// What features write into the residual stream: [`DownProjection::directions`].
    ///
    /// # Errors
    /// As there.
    pub fn directions(&self, features: &DenseMatrix) -> Result<DenseMatrix, LensError> {
        self.down_projection.directions(features)
    }
}

fn norm_kind(weights: &Weights, place: &Place, name: &str, plus_one: bool) -> NormKind {
    match weights.metadata(name).and_then(|metadata| metadata.get("norm")).map(String::as_str) {
        Some("rms") => NormKind::Rms,
        Some("rms-plus-one") => NormKind::RmsPlusOne,
        Some("layer") => NormKind::Layer,
        _ if plus_one => NormKind::RmsPlusOne,
        _ if place.family.is_some_and(|family| family.has_layer_norm) || bias_of(weights, name).is_some() => {
            NormKind::Layer
        }
        _ => NormKind::Rms,
    }
}

fn stored_epsilon(weights: &Weights, norm: &str) -> Option<f64> {
    let metadata = weights.metadata(norm)?;
    let noted = METADATA_EPSILON.iter().find_map(|key| metadata.get(*key)?.parse().ok());
    noted.or_else(|| CONFIG_EPSILON.iter().find_map(|key| config_value(weights, key)?.as_f64()))
}
