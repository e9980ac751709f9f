//! The neurons of features.

use serde::Serialize;
use unmix::DenseMatrix;

use crate::rows::{nonzeros, squared_norm};

/// A neuron of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Neuron {
    /// Its number.
    pub neuron: usize,
    /// Its weight in the feature scaled to unit norm.
    pub weight: f32,
}

/// The neurons of largest weight of one feature, at most `most`.
pub fn strongest_neurons(features: &DenseMatrix, feature: usize, most: usize) -> Vec<Neuron> {
    let row = features.row(feature);
    let norm = squared_norm(row).sqrt();
    let mut neurons: Vec<Neuron> =
        nonzeros(row).map(|(neuron, z)| Neuron { neuron, weight: (z / norm) as f32 }).collect();
    neurons.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()).then(a.neuron.cmp(&b.neuron)));
    neurons.truncate(most);
    neurons
}
