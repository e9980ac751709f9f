//! From the neurons of a layer to the residual stream: the down-projection, whose rows are read one block at a time.

use rayon::prelude::*;
use unmix::DenseMatrix;
use unmix_data::{Error, WeightMatrix, Weights};

use super::lookup::{files, first, vector_of_width, wrong_size};
use super::model::{Model, Until};
use super::names::{Layout, PREFIXES};
use super::norm::{epsilon, plus};
use super::place::{Part, Place, Wanted};
use super::{LensError, NormKind, ReadoutOptions, Role};
use crate::rows::nonzeros;

/// Numbers of the weights that each thread holds in memory at a time.
const BLOCK: usize = 1 << 20;

/// Norms between down-projection and residual stream, in models of unknown type.
const POST_NORMS: [&str; 2] = ["post_feedforward_layernorm.weight", "post_mlp_layernorm.weight"];

/// What the neurons of one layer write into the residual stream: the MLP's down-projection W_out, and the norms after
/// it, if the model has any. The matrix stays in its file.
#[derive(Clone, Debug)]
pub struct DownProjection {
    matrix: WeightMatrix,
    layout: Layout,
    layer: Option<u32>,
    post_norms: Vec<PostNorm>,
    /// The ε of those norms.
    epsilon: f64,
    /// The factor by which the model multiplies its layers' output.
    multiplier: f64,
}

/// A root mean square norm between down-projection and residual stream.
#[derive(Clone, Debug)]
struct PostNorm {
    name: String,
    /// [d_model]
    gain: Vec<f32>,
}

impl DownProjection {
    /// Finds the down-projection in the weights of a model, for features of `neurons` neurons, as
    /// [`Readout::open`](super::Readout::open) does. Of `options`, it uses type, layer, expert, name and the kind of
    /// norms.
    ///
    /// # Errors
    /// If the tensor is not found, is ambiguous, has no side of `neurons`, or has a type that cannot be read. If the
    /// model's type is not known and no tensor is named.
    pub fn open(weights: &Weights, neurons: usize, options: &ReadoutOptions) -> Result<DownProjection, LensError> {
        let model = Model::of(weights, options, Until::ResidualStream)?;
        Self::at(&model, &Self::place(&model, neurons)?, neurons)
    }

    pub(super) fn place(model: &Model<'_>, neurons: usize) -> Result<Place, LensError> {
        let Model { weights, options, .. } = model;
        let Some(name) = &options.down_projection else {
            let (layer, expert) = (options.layer, options.expert);
            return Place::find(
                weights,
                model.names(),
                Wanted { neurons, layer, expert, layers: model.config.layers() },
            );
        };
        let place = Place::of(name, model.names());
        let elsewhere = |what: &str, found: u32, asked: u32| LensError::Elsewhere {
            tensor: name.clone(),
            found: format!("{what} {found}"),
            asked: format!("{what} {asked}"),
        };
        match (place.layer, options.layer, place.part, options.expert) {
            (Some(found), Some(asked), ..) if found != asked => Err(elsewhere("layer", found, asked)),
            (_, _, Part::Expert(found), Some(asked)) if found != asked => Err(elsewhere("expert", found, asked)),
            _ => Ok(place),
        }
    }

    pub(super) fn at(model: &Model<'_>, place: &Place, neurons: usize) -> Result<DownProjection, LensError> {
        let matrix = matrix(model, place)?;
        let layout = match (matrix.columns() == neurons, matrix.rows() == neurons) {
            (true, true) => match (model.family(), place.part) {
                (Some(family), Part::Experts) => family.stack_layout,
                (Some(family), Part::Mlp | Part::Expert(_)) => family.layout,
                (None, _) => {
                    let (files, tensor) = (files(model.weights), place.name.clone());
                    return Err(LensError::Square { files, tensor });
                }
            },
            (true, false) => Layout::OutIn,
            (false, true) => Layout::InOut,
            (false, false) => {
                let expected = format!("a matrix with a side of {neurons}, the neurons of the features");
                return Err(wrong_size(Role::DownProjection, model.weights, &place.name, expected));
            }
        };
        let mut found = DownProjection {
            matrix,
            layout,
            layer: place.layer.or(model.options.layer),
            post_norms: Vec::new(),
            epsilon: epsilon(model, None)?,
            multiplier: 1.0,
        };
        found.post_norms = post_norms(model, place, found.width())?;
        if let Some(key) = model.family().and_then(|family| family.residual_multiplier) {
            found.multiplier = model.config.number(key, Some(1.0))?.unwrap_or(1.0);
        }
        Ok(found)
    }

    /// Neurons d.
    pub fn neurons(&self) -> usize {
        match self.layout {
            Layout::OutIn => self.matrix.columns(),
            Layout::InOut => self.matrix.rows(),
        }
    }

    /// Width of the residual stream, d_model.
    pub fn width(&self) -> usize {
        match self.layout {
            Layout::OutIn => self.matrix.rows(),
            Layout::InOut => self.matrix.columns(),
        }
    }

    /// The layer, from 0, if the tensor's name or the options say it.
    pub fn layer(&self) -> Option<u32> {
        self.layer
    }

    /// Names of the norms between down-projection and residual stream.
    pub(super) fn post_norms(&self) -> impl Iterator<Item = &str> {
        self.post_norms.iter().map(|norm| norm.name.as_str())
    }

    /// What features write into the residual stream, as [K, d_model]: r = W_out z for each row z of `features` [K, d].
    /// This is multiplied by the gains of the norms after the down-projection, if the model has any, and by the factor
    /// by which the model multiplies its layers' output. Biases are left out. Sums are in f64.
    ///
    /// # Errors
    /// If the features have another number of neurons than the weights, or the weights hold numbers that are not
    /// finite.
    pub fn directions(&self, features: &DenseMatrix) -> Result<DenseMatrix, LensError> {
        let mut directions = self.project(features)?;
        for direction in directions.chunks_exact_mut(self.width()) {
            for norm in &self.post_norms {
                norm.gain(direction);
            }
            direction.iter_mut().for_each(|value| *value *= self.multiplier);
        }
        let values = directions.into_iter().map(|value| value as f32).collect();
        Ok(DenseMatrix { rows: features.rows, columns: self.width(), values })
    }

    /// For each feature, the norm of what the layer writes into the residual stream when this feature alone is active,
    /// with its coefficient in `coefficients`. Without a norm after the down-projection, it is the norm of the
    /// coefficient times the feature's direction. With one, it is the same for all coefficients.
    ///
    /// # Errors
    /// If the features have another number of neurons than the weights, or there is not one coefficient for each of
    /// them. If the weights hold numbers that are not finite.
    pub fn written_norms(&self, features: &DenseMatrix, coefficients: &[f32]) -> Result<Vec<f32>, LensError> {
        if coefficients.len() != features.rows {
            let (found, expected) = (coefficients.len(), features.rows);
            return Err(LensError::Width { what: "coefficients", found, expected });
        }
        let mut written = self.project(features)?;
        let norm = |(written, &coefficient): (&mut [f64], &f32)| {
            written.iter_mut().for_each(|value| *value *= f64::from(coefficient));
            for norm in &self.post_norms {
                let square = written.iter().map(|value| value * value).sum::<f64>() / written.len() as f64;
                // Zeros stay zeros, even if ε is zero.
                let scale = if square > 0.0 { (square + self.epsilon).sqrt().recip() } else { 0.0 };
                written.iter_mut().for_each(|value| *value *= scale);
                norm.gain(written);
            }
            (self.multiplier * written.iter().map(|value| value * value).sum::<f64>().sqrt()).abs() as f32
        };
        Ok(written.chunks_exact_mut(self.width()).zip(coefficients).map(norm).collect())
    }

    /// W_out z for each row z of `features`.
    fn project(&self, features: &DenseMatrix) -> Result<Vec<f64>, LensError> {
        if features.columns != self.neurons() {
            return Err(LensError::Width { what: "features", found: features.columns, expected: self.neurons() });
        }
        Ok(project(features, &self.matrix, self.layout)?)
    }
}

impl PostNorm {
    fn gain(&self, direction: &mut [f64]) {
        direction.iter_mut().zip(&self.gain).for_each(|(value, &gain)| *value *= f64::from(gain));
    }
}

/// The matrix at a place: all of a tensor, or the part of one expert.
fn matrix(model: &Model<'_>, place: &Place) -> Result<WeightMatrix, LensError> {
    let shape = model.weights.shape(&place.name).unwrap_or_default();
    match (shape.len(), model.options.expert) {
        (3, Some(expert)) if u64::from(expert) < shape[0] => {
            Ok(model.weights.matrix_of_stack(&place.name, expert as usize)?)
        }
        (3, Some(expert)) => Err(LensError::NoSuchExpert {
            files: files(model.weights),
            expert,
            experts: format!("0 to {}", shape[0].saturating_sub(1)),
        }),
        (3, None) => Err(LensError::Ambiguous {
            role: Role::DownProjection,
            files: files(model.weights),
            candidates: format!("the {} experts of {:?}", shape[0], place.name),
            advice: "say which expert the activations are from",
        }),
        (_, Some(expert)) if place.part == Part::Mlp => {
            Err(LensError::NoSuchExpert { files: files(model.weights), expert, experts: "none".to_owned() })
        }
        _ => Ok(model.weights.matrix(&place.name)?),
    }
}

/// The norms between the down-projection at `place` and the residual stream, in their order.
fn post_norms(model: &Model<'_>, place: &Place, width: usize) -> Result<Vec<PostNorm>, LensError> {
    let in_layer = |name: &str| -> Vec<String> {
        match (place.in_layer(name), model.options.layer) {
            (Some(name), _) => vec![name],
            // A down-projection that has another name than the model's own tensors may lie beside these.
            (None, Some(layer)) => {
                let layers = model.names().map(|names| names.layers);
                let named = |layers| PREFIXES.iter().map(move |prefix| format!("{prefix}{layers}.{layer}.{name}"));
                layers.into_iter().flat_map(named).collect()
            }
            (None, None) => Vec::new(),
        }
    };
    let there = |names: Vec<String>| names.into_iter().find(|name| model.weights.shape(name).is_some());
    let (names, adds_one) = match model.family() {
        Some(family) => {
            let is_expert = place.part != Part::Mlp;
            let behind =
                family.post_norms.iter().filter(|norm| if is_expert { norm.behind_experts } else { norm.behind_mlp });
            let name = |norm: &super::family::PostNorm| match (norm.may_be_missing, in_layer(norm.name)) {
                (true, names) => Ok(there(names)),
                (false, names) if names.is_empty() => {
                    first(Role::PostNorm, model.weights, vec![norm.name.to_owned()]).map(Some)
                }
                (false, names) => first(Role::PostNorm, model.weights, names).map(Some),
            };
            let names: Vec<Option<String>> = behind.map(name).collect::<Result<_, LensError>>()?;
            let kind = model.options.norm.filter(|kind| matches!(kind, NormKind::Rms | NormKind::RmsPlusOne));
            (names.into_iter().flatten().collect(), kind.unwrap_or(family.norm).adds_one())
        }
        None => match (POST_NORMS.iter().find_map(|norm| there(in_layer(norm))), model.options.norm) {
            (None, _) => (Vec::new(), false),
            (Some(name), Some(kind @ (NormKind::Rms | NormKind::RmsPlusOne))) => (vec![name], kind.adds_one()),
            (Some(norm), _) => return Err(LensError::UnknownNorm { files: files(model.weights), norm }),
        },
    };
    let post_norm = |name: String| {
        let gain = plus(vector_of_width(model.weights, &name, Role::PostNorm, width)?, adds_one);
        Ok(PostNorm { name, gain })
    };
    names.into_iter().map(post_norm).collect()
}

/// The nonzeros of each feature, in the order of neurons.
type Nonzeros = Vec<Vec<(usize, f64)>>;

/// R = Z W_outᵀ for features Z [K, d]: directions [K, d_model], with sums in f64 over the neurons in their order.
fn project(features: &DenseMatrix, weights: &WeightMatrix, layout: Layout) -> Result<Vec<f64>, Error> {
    let nonzeros: Nonzeros = (0..features.rows).map(|k| nonzeros(features.row(k)).collect()).collect();
    match layout {
        Layout::OutIn => by_outputs(&nonzeros, weights),
        Layout::InOut => by_neurons(&nonzeros, weights),
    }
}

/// For weights [d_model, d]. Each block of rows gives some columns of the directions.
fn by_outputs(nonzeros: &Nonzeros, weights: &WeightMatrix) -> Result<Vec<f64>, Error> {
    let (model, neurons) = (weights.rows(), weights.columns());
    let height = (BLOCK / neurons).clamp(1, model);
    let parts = (0..model.div_ceil(height)).into_par_iter().map(|block| {
        let rows = block * height..((block + 1) * height).min(model);
        let mut values = vec![0f32; rows.len() * neurons];
        weights.read_rows(rows, &mut values)?;
        let product = |row: &[f32], feature: &[(usize, f64)]| -> f64 {
            feature.iter().map(|&(neuron, z)| z * f64::from(row[neuron])).sum()
        };
        // One feature after the other, as in the directions.
        Ok(nonzeros.iter().flat_map(|f| values.chunks_exact(neurons).map(move |row| product(row, f))).collect())
    });
    let parts: Vec<Vec<f64>> = parts.collect::<Result<_, Error>>()?;
    let mut directions = Vec::with_capacity(nonzeros.len() * model);
    for feature in 0..nonzeros.len() {
        for part in &parts {
            let height = part.len() / nonzeros.len();
            directions.extend(&part[feature * height..(feature + 1) * height]);
        }
    }
    Ok(directions)
}

/// For weights [d, d_model]. Only the rows of neurons that some feature has are read.
fn by_neurons(nonzeros: &Nonzeros, weights: &WeightMatrix) -> Result<Vec<f64>, Error> {
    let model = weights.columns();
    let mut used: Vec<usize> = nonzeros.iter().flatten().map(|&(neuron, _)| neuron).collect();
    used.sort_unstable();
    used.dedup();
    let mut directions = vec![0f64; nonzeros.len() * model];
    for block in used.chunks((BLOCK / model).max(1)) {
        let mut values = vec![0f32; block.len() * model];
        for (&neuron, row) in block.iter().zip(values.chunks_exact_mut(model)) {
            weights.read_rows(neuron..neuron + 1, row)?;
        }
        let (first, last) = (block[0], block[block.len() - 1]);
        directions.par_chunks_exact_mut(model).zip(nonzeros).for_each(|(direction, feature)| {
            let start = feature.partition_point(|&(neuron, _)| neuron < first);
            let mut place = 0;
            for &(neuron, z) in feature[start..].iter().take_while(|&&(neuron, _)| neuron <= last) {
                place += block[place..].partition_point(|&other| other < neuron);
                let row = &values[place * model..(place + 1) * model];
                direction.iter_mut().zip(row).for_each(|(sum, &weight)| *sum += z * f64::from(weight));
            }
        });
    }
    Ok(directions)
}
