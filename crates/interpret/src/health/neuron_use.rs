//! Which features use which neurons.

use std::cmp::Reverse;
use std::collections::HashMap;

use rayon::prelude::*;
use serde::Serialize;
use unmix::DenseMatrix;

use crate::rows::nonzeros;

/// With fewer features than this, nothing is said about what most of them do.
pub(crate) const LEAST_FEATURES: usize = 8;
/// A neuron is an outlier if more than this share of the features use it, there are at least 8 features, and the mean
/// neuron is used less than a third as often. Without the last condition, every neuron would be an outlier if features
/// keep most of their neurons.
pub const OUTLIER_NEURON_SHARE: f64 = 2.0 / 3.0;
/// How much more often an outlier neuron is used than the mean neuron, at least.
const OUTLIER_TIMES: f64 = 3.0;
/// Most shared neurons that are listed.
const SHARED_NEURONS: usize = 20;

/// A neuron of several features.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SharedNeuron {
    /// Its number.
    pub neuron: usize,
    /// The features that use it.
    pub features: Vec<usize>,
}

/// Which features use the neurons.
pub(super) struct NeuronUse {
    /// Neurons that at least one feature uses.
    pub used: usize,
    /// The neurons that most features share, most shared first.
    pub shared: Vec<SharedNeuron>,
    /// The outliers among the neurons.
    pub outliers: Vec<usize>,
}

impl NeuronUse {
    /// The use of neurons by those of the features Z [K, d] that are `alive`.
    pub fn of(features: &DenseMatrix, alive: &[usize]) -> NeuronUse {
        let mut users: Vec<Vec<usize>> = vec![Vec::new(); features.columns];
        for &k in alive {
            neurons(features, k).for_each(|j| users[j].push(k));
        }
        let used = users.iter().filter(|users| !users.is_empty()).count();
        let mean = users.iter().map(Vec::len).sum::<usize>() as f64 / features.columns.max(1) as f64;
        let mut shared: Vec<SharedNeuron> = users
            .into_iter()
            .enumerate()
            .filter(|(_, features)| features.len() > 1)
            .map(|(neuron, features)| SharedNeuron { neuron, features })
            .collect();
        shared.sort_by_key(|s| (Reverse(s.features.len()), s.neuron));
        let least = (OUTLIER_NEURON_SHARE * alive.len() as f64).max(OUTLIER_TIMES * mean);
        let outliers = if alive.len() < LEAST_FEATURES {
            Vec::new()
        } else {
            shared.iter().take_while(|s| s.features.len() as f64 > least).map(|s| s.neuron).collect()
        };
        shared.truncate(SHARED_NEURONS);
        NeuronUse { used, shared, outliers }
    }
}

/// The neurons of a feature, ascending.
fn neurons(features: &DenseMatrix, feature: usize) -> impl Iterator<Item = usize> {
    nonzeros(features.row(feature)).map(|(j, _)| j)
}

/// The share of neurons that two of the features `alive` both use: the mean over all pairs.
pub(super) fn mean_overlap(features: &DenseMatrix, alive: &[usize]) -> f64 {
    let sets: Vec<Vec<usize>> = alive.iter().map(|&k| neurons(features, k).collect()).collect();
    if sets.len() < 2 {
        // There are no pairs, whose sum would be -0.
        return 0.0;
    }
    let pairs = (sets.len() * (sets.len() - 1) / 2) as f64;
    let sum: f64 = (0..sets.len())
        .into_par_iter()
        .map(|a| {
            sets[a + 1..]
                .iter()
                .map(|b| {
                    let both = sets[a].iter().filter(|j| b.binary_search(j).is_ok()).count();
                    both as f64 / (sets[a].len() + b.len() - both).max(1) as f64
                })
                .sum::<f64>()
        })
        .collect::<Vec<f64>>()
        .into_iter()
        .sum();
    sum / pairs
}

/// The neurons of a group of features.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NeuronGroup {
    /// Neurons that more than half of the group use with the same sign, most used first. They are what the members have
    /// in common.
    pub core: Vec<usize>,
    /// For each member, the neurons that no other member uses.
    pub exclusive: Vec<Vec<usize>>,
}

/// Core and exclusive neurons of the features `group`. Shafran et al. 2026 find both among features that nest.
pub fn neuron_group(features: &DenseMatrix, group: &[usize]) -> NeuronGroup {
    /// The numbers of members that use a neuron with a positive and with a negative weight.
    type Users = (usize, usize);
    let mut users: HashMap<usize, Users> = HashMap::new();
    for &k in group {
        for j in neurons(features, k) {
            let (positive, negative) = users.entry(j).or_default();
            *(if features.row(k)[j] > 0.0 { positive } else { negative }) += 1;
        }
    }
    let mut core: Vec<(usize, usize)> = users
        .iter()
        .map(|(&j, &(positive, negative))| (positive.max(negative), j))
        .filter(|&(most, _)| most >= 2 && 2 * most > group.len())
        .collect();
    core.sort_by_key(|&(most, j)| (Reverse(most), j));
    let exclusive =
        group.iter().map(|&k| neurons(features, k).filter(|j| users[j].0 + users[j].1 == 1).collect()).collect();
    NeuronGroup { core: core.into_iter().map(|(_, j)| j).collect(), exclusive }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neuron_in_most_features_is_an_outlier_unless_most_neurons_are() {
        // Twenty features over 40 neurons. Each has a neuron of its own, and all but three also have neuron 7.
        let mut values = vec![0f32; 20 * 40];
        for (k, row) in values.chunks_exact_mut(40).enumerate() {
            row[10 + k] = 1.0;
            row[if k < 3 { 8 } else { 7 }] = -1.0;
        }
        let features = DenseMatrix { rows: 20, columns: 40, values };
        let found = NeuronUse::of(&features, &(0..20).collect::<Vec<_>>());
        assert_eq!((found.outliers, found.shared[0].neuron, found.shared[0].features.len()), (vec![7], 7, 17));
        assert_eq!(found.used, 22);
        // If features keep every neuron, they share every neuron.
        let full = DenseMatrix { values: vec![1.0; 20 * 40], ..features };
        assert_eq!(NeuronUse::of(&full, &(0..20).collect::<Vec<_>>()).outliers, [0; 0]);
        let few = DenseMatrix { rows: 3, columns: 40, values: full.values[..120].to_vec() };
        assert_eq!(NeuronUse::of(&few, &[0, 1, 2]).outliers, [0; 0]);
    }

    #[test]
    fn core_neurons_are_shared_with_one_sign_and_exclusive_ones_are_not_shared() {
        let z = [1.0, 1.0, 1.0, 0.0, 0.0, 2.0, -1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let z = DenseMatrix { rows: 3, columns: 5, values: z.into() };
        let group = neuron_group(&z, &[0, 1, 2]);
        assert_eq!(group.core, [0]);
        assert_eq!(group.exclusive, [vec![2], vec![3], vec![4]]);
        assert_eq!(neuron_group(&z, &[]), NeuronGroup::default());
    }
}
