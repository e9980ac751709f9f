//! The weights between the neurons of one layer and the logits.

use unmix::DenseMatrix;
use unmix_data::{WeightMatrix, Weights};

use super::down_projection::project;
use super::families::{Layout, Place, bias_of, config_value, wrong_size};
use super::norm::Norm;
use super::{LensError, NormKind, ReadoutNames, ReadoutOptions, Role};

/// The way from the neurons of one layer to the logits: down-projection, the norm behind it where the model has one, final norm
/// and unembedding. Matrices stay in their files and are read a block at a time.
#[derive(Clone, Debug)]
pub struct Readout {
    down_projection: WeightMatrix,
    layout: Layout,
    /// Gain of the norm behind the down-projection, [d_model].
    post_gain: Option<Vec<f32>>,
    bias: Option<Vec<f32>>,
    pub(super) norm: Norm,
    pub(super) unembedding: WeightMatrix,
    names: ReadoutNames,
}

/// Models whose root mean square norms store their weights as the difference from one.
const PLUS_ONE: [&str; 5] = ["gemma", "gemma2", "gemma3", "gemma3_text", "qwen3_next"];
/// Where the final norm's ε is, in a file's metadata and in a model's configuration.
const METADATA_EPSILON: [&str; 3] = ["eps", "epsilon", "norm_epsilon"];
const CONFIG_EPSILON: [&str; 4] = ["rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "norm_eps"];
const DEFAULT_EPSILON: f64 = 1e-5;

impl Readout {
    /// Finds what it takes in the weights of a model, for features of `neurons` neurons. Names of GPT-2, Llama, Mistral, Qwen,
    /// SmolLM, Gemma, GPT-NeoX, Pythia, OPT and models like them are known, and of files that hold nothing else `down_proj`,
    /// `unembedding` and `final_norm`; `options` has the names of others.
    ///
    /// Which side of the down-projection the neurons are on shows in its shape; where it is square, it is taken to lie as in
    /// its family of models, or else as torch's `Linear`, [d_model, d].
    ///
    /// The norm's kind comes from the options, else from the metadata (`norm`: `rms` or `layer`) of the file that holds it, else
    /// from the family of models; ε from the options, else from that metadata (`eps`), else from the model's `config.json`, and
    /// is 1e-5 if none of them says it. Caps on logits, which keep their order, and biases of unembeddings are left out.
    ///
    /// # Errors
    /// If a tensor is not found, ambiguous, of a size that does not go with the others, or of a type that cannot be read.
    pub fn open(weights: &Weights, neurons: usize, options: &ReadoutOptions) -> Result<Readout, LensError> {
        let place = match &options.down_projection {
            Some(name) => Place::of(name),
            None => Place::find(weights, neurons, options.layer)?,
        };
        let down_projection = weights.matrix(&place.name)?;
        let unembedding = match &options.unembedding {
            Some(name) => weights.matrix(name)?,
            None => weights.matrix(&place.unembedding(weights)?)?,
        };
        let layout = layout(weights, &place, &down_projection, neurons, &unembedding)?;
        let model = unembedding.columns();
        let vector = |name: &str, role: Role| -> Result<Vec<f32>, LensError> {
            let values = weights.vector(name)?;
            if values.len() == model {
                return Ok(values);
            }
            Err(wrong_size(role, weights, name, format!("{model} entries, the width of the unembedding")))
        };

        let bias_name = options.bias.clone().or_else(|| bias_of(weights, &place.name));
        let bias = bias_name.as_deref().map(|name| vector(name, Role::DownProjection)).transpose()?;
        let plus_one = stores_difference_from_one(weights, &place);
        let post_name = place.post_norm(weights);
        let post_gain = match &post_name {
            Some(name) => {
                let one = match options.norm {
                    Some(NormKind::RmsPlusOne) => true,
                    Some(NormKind::Rms) => false,
                    _ => plus_one,
                };
                Some(plus(vector(name, Role::DownProjection)?, one))
            }
            None => None,
        };
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
            down_projection: place.name,
            bias: bias_name,
            post_norm: post_name,
            final_norm: norm_name,
            norm: norm.kind,
            epsilon: norm.epsilon,
            unembedding: unembedding.name().to_owned(),
        };
        Ok(Readout { down_projection, layout, post_gain, bias, norm, unembedding, names })
    }

    /// Which tensors are used, and how.
    pub fn names(&self) -> &ReadoutNames {
        &self.names
    }

    /// Neurons d.
    pub fn neurons(&self) -> usize {
        match self.layout {
            Layout::OutIn => self.down_projection.columns(),
            Layout::InOut => self.down_projection.rows(),
        }
    }

    /// Width of the residual stream, d_model.
    pub fn width(&self) -> usize {
        self.unembedding.columns()
    }

    /// Tokens that the unembedding knows. May be more than the tokenizer has: some models pad it.
    pub fn tokens(&self) -> usize {
        self.unembedding.rows()
    }

    /// The down-projection's bias, [d_model], if it has one. It is the same for all features, so no direction contains it.
    pub fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// What features write into the residual stream: r = W_out z for each row z of `features` [K, d], times the gain of the norm
    /// behind the down-projection where the model has one, as [K, d_model]. Sums are in f64; without biases.
    ///
    /// # Errors
    /// If the features have another number of neurons than the weights; if these hold numbers that are not finite.
    pub fn directions(&self, features: &DenseMatrix) -> Result<DenseMatrix, LensError> {
        if features.columns != self.neurons() {
            return Err(LensError::Width { what: "features", found: features.columns, expected: self.neurons() });
        }
        let mut directions = project(features, &self.down_projection, self.layout)?;
        if let Some(gain) = &self.post_gain {
            for direction in directions.chunks_exact_mut(self.width()) {
                direction.iter_mut().zip(gain).for_each(|(value, &gain)| *value *= f64::from(gain));
            }
        }
        let values = directions.into_iter().map(|value| value as f32).collect();
        Ok(DenseMatrix { rows: features.rows, columns: self.width(), values })
    }
}

/// How the down-projection lies, from the sizes on both of its sides.
fn layout(
    weights: &Weights,
    place: &Place,
    down: &WeightMatrix,
    neurons: usize,
    unembedding: &WeightMatrix,
) -> Result<Layout, LensError> {
    let model = unembedding.columns();
    let (rows, columns) = (down.rows(), down.columns());
    match ((rows, columns) == (model, neurons), (rows, columns) == (neurons, model)) {
        (true, true) => Ok(place.family.map_or(Layout::OutIn, |family| family.layout)),
        (true, false) => Ok(Layout::OutIn),
        (false, true) => Ok(Layout::InOut),
        (false, false) if rows == neurons || columns == neurons => {
            let other = if columns == neurons { rows } else { columns };
            let turned = if unembedding.rows() == other { "; it is transposed" } else { "" };
            let expected =
                format!("[vocabulary, {other}], as the down-projection {:?} has {other}{turned}", place.name);
            Err(wrong_size(Role::Unembedding, weights, unembedding.name(), expected))
        }
        (false, false) => {
            let expected = format!("a matrix with a side of {neurons}, the neurons of the features");
            Err(wrong_size(Role::DownProjection, weights, &place.name, expected))
        }
    }
}

fn stores_difference_from_one(weights: &Weights, place: &Place) -> bool {
    match config_value(weights, "model_type").and_then(serde_json::Value::as_str) {
        Some(model) => PLUS_ONE.contains(&model),
        // Without a configuration: of the models that are known, only Gemma 2 and 3 have a norm on both sides of the MLP.
        None => {
            let before = place.in_layer("pre_feedforward_layernorm.weight");
            before.is_some_and(|name| weights.shape(&name).is_some())
        }
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

fn plus(mut gain: Vec<f32>, one: bool) -> Vec<f32> {
    if one {
        gain.iter_mut().for_each(|gain| *gain += 1.0);
    }
    gain
}
