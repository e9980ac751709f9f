//! From the neurons of a layer to the residual stream: the down-projection, whose rows are read a block at a time.

use rayon::prelude::*;
use unmix::DenseMatrix;
use unmix_data::{Error, WeightMatrix, Weights};

use super::families::{Layout, Place, config_value, wrong_size};
use super::{LensError, NormKind, ReadoutOptions, Role};
use crate::rows::nonzeros;

/// Numbers of the weights that are in memory at a time, for each thread.
const BLOCK: usize = 1 << 20;

/// Models whose root mean square norms store their weights as the difference from one.
const PLUS_ONE: [&str; 5] = ["gemma", "gemma2", "gemma3", "gemma3_text", "qwen3_next"];

/// What the neurons of one layer write into the residual stream: the MLP's down-projection W_out, and the norm behind it
/// where the model has one. The matrix stays in its file.
#[derive(Clone, Debug)]
pub struct DownProjection {
    matrix: WeightMatrix,
    layout: Layout,
    /// Gain of the norm behind the down-projection, [d_model].
    post_gain: Option<Vec<f32>>,
}

impl DownProjection {
    /// Finds it in the weights of a model, for features of `neurons` neurons, by the names and shapes that
    /// [`Readout::open`](super::Readout::open) knows; of `options`, the layer, the name and the kind of norms are heeded.
    ///
    /// # Errors
    /// If the tensor is not found, ambiguous, without a side of `neurons`, or of a type that cannot be read.
    pub fn open(weights: &Weights, neurons: usize, options: &ReadoutOptions) -> Result<DownProjection, LensError> {
        Self::at(weights, &Self::place(weights, neurons, options)?, neurons, options)
    }

    pub(super) fn place(weights: &Weights, neurons: usize, options: &ReadoutOptions) -> Result<Place, LensError> {
        match &options.down_projection {
            Some(name) => Ok(Place::of(name)),
            None => Place::find(weights, neurons, options.layer),
        }
    }

    pub(super) fn at(
        weights: &Weights,
        place: &Place,
        neurons: usize,
        options: &ReadoutOptions,
    ) -> Result<DownProjection, LensError> {
        let matrix = weights.matrix(&place.name)?;
        let layout = match (matrix.columns() == neurons, matrix.rows() == neurons) {
            // Square: as in its family of models, else as torch's `Linear`.
            (true, true) => place.family.map_or(Layout::OutIn, |family| family.layout),
            (true, false) => Layout::OutIn,
            (false, true) => Layout::InOut,
            (false, false) => {
                let expected = format!("a matrix with a side of {neurons}, the neurons of the features");
                return Err(wrong_size(Role::DownProjection, weights, &place.name, expected));
            }
        };
        let mut found = DownProjection { matrix, layout, post_gain: None };
        if let Some(name) = place.post_norm(weights) {
            let plus_one = match options.norm {
                Some(NormKind::RmsPlusOne) => true,
                Some(NormKind::Rms) => false,
                _ => stores_difference_from_one(weights, place),
            };
            let gain = vector_of_width(weights, &name, Role::DownProjection, found.width())?;
            found.post_gain = Some(plus(gain, plus_one));
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

    /// What features write into the residual stream: r = W_out z for each row z of `features` [K, d], times the gain of the
    /// norm behind the down-projection where the model has one, as [K, d_model]. Sums are in f64; without biases.
    ///
    /// # Errors
    /// If the features have another number of neurons than the weights; if these hold numbers that are not finite.
    pub fn directions(&self, features: &DenseMatrix) -> Result<DenseMatrix, LensError> {
        if features.columns != self.neurons() {
            return Err(LensError::Width { what: "features", found: features.columns, expected: self.neurons() });
        }
        let mut directions = project(features, &self.matrix, self.layout)?;
        if let Some(gain) = &self.post_gain {
            for direction in directions.chunks_exact_mut(self.width()) {
                direction.iter_mut().zip(gain).for_each(|(value, &gain)| *value *= f64::from(gain));
            }
        }
        let values = directions.into_iter().map(|value| value as f32).collect();
        Ok(DenseMatrix { rows: features.rows, columns: self.width(), values })
    }
}

/// A vector with an entry for each dimension of the residual stream.
pub(super) fn vector_of_width(weights: &Weights, name: &str, role: Role, width: usize) -> Result<Vec<f32>, LensError> {
    let values = weights.vector(name)?;
    if values.len() == width {
        return Ok(values);
    }
    Err(wrong_size(role, weights, name, format!("{width} entries, the width of the residual stream")))
}

pub(super) fn stores_difference_from_one(weights: &Weights, place: &Place) -> bool {
    match config_value(weights, "model_type").and_then(serde_json::Value::as_str) {
        Some(model) => PLUS_ONE.contains(&model),
        // Without a configuration: of the models that are known, only Gemma 2 and 3 have a norm on both sides of the MLP.
        None => {
            let before = place.in_layer("pre_feedforward_layernorm.weight");
            before.is_some_and(|name| weights.shape(&name).is_some())
        }
    }
}

pub(super) fn plus(mut gain: Vec<f32>, one: bool) -> Vec<f32> {
    if one {
        gain.iter_mut().for_each(|gain| *gain += 1.0);
    }
    gain
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

/// Of weights [d_model, d]: each block of rows gives some columns of the directions.
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
        // Feature after feature, like the directions.
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

/// Of weights [d, d_model]: only the rows of neurons that some feature has are read.
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
