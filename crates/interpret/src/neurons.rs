//! The neurons of features.

use serde::Serialize;
use unmix::DenseMatrix;
use unmix_data::Error;

use crate::rows::{nonzeros, squared_norm};

/// A neuron of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Neuron {
    /// Its number.
    pub neuron: usize,
    /// Its weight, for the feature scaled to unit norm.
    pub weight: f32,
}

/// The neurons with the largest weights in one of the features Z [K, d], at most `most`.
///
/// # Errors
/// If there is no such feature.
pub fn strongest_neurons(features: &DenseMatrix, feature: usize, most: usize) -> Result<Vec<Neuron>, Error> {
    let start = feature.checked_mul(features.columns);
    let end = start.and_then(|start| start.checked_add(features.columns));
    match start.zip(end).and_then(|(start, end)| features.values.get(start..end)) {
        Some(row) if feature < features.rows => Ok(strongest_of(row, most)),
        _ => Err(Error::Inconsistent {
            what: "the feature whose neurons are asked for".to_owned(),
            found: format!("number {feature}"),
            expected: format!("there are {} features, numbered from 0", features.rows),
        }),
    }
}

/// The neurons with the largest weights in the feature `row` [d], at most `most`.
pub(crate) fn strongest_of(row: &[f32], most: usize) -> Vec<Neuron> {
    let norm = squared_norm(row).sqrt();
    let mut neurons: Vec<Neuron> =
        nonzeros(row).map(|(neuron, z)| Neuron { neuron, weight: (z / norm) as f32 }).collect();
    neurons.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()).then(a.neuron.cmp(&b.neuron)));
    neurons.truncate(most);
    neurons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_neurons_of_a_feature_that_there_is_not_are_an_error() {
        let features = DenseMatrix { rows: 2, columns: 3, values: vec![0.0, 3.0, -4.0, 1.0, 0.0, 0.0] };
        let found = strongest_neurons(&features, 0, 1).expect("a feature");
        assert_eq!(found, [Neuron { neuron: 2, weight: -0.8 }]);
        for feature in [2, 99, usize::MAX] {
            assert!(strongest_neurons(&features, feature, 5).is_err(), "{feature}");
        }
    }
}
