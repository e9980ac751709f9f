//! Is a fit sound? Features that do nothing, say the same twice, or stand for a single token; and who shares neurons.

use std::collections::HashMap;

use rayon::prelude::*;
use serde::Serialize;
use unmix::{DenseMatrix, FeatureStatistics};

use crate::rows::{feature_cosines, nonzeros};

/// From this |cosine| on, two features are duplicates.
pub const DUPLICATE_COSINE: f32 = 0.9;
/// A feature whose share of the energy of its coefficients on one token is at least this stands for that token.
pub const TOKEN_SHARE: f64 = 0.9;
/// A feature that explains less than this part of what a feature explains on average is of low share.
pub const LOW_SHARE: f64 = 0.1;

/// What is to be known of a fit before its features are read.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Health {
    /// Features that no token uses, or without neurons.
    pub dead: Vec<usize>,
    /// Pairs of features of |cosine| ≥ [`DUPLICATE_COSINE`], most similar first.
    pub duplicates: Vec<Duplicate>,
    /// Features alive that explain less than [`LOW_SHARE`] of the mean, least first.
    pub low_share: Vec<usize>,
    /// Features that fire on one token of the vocabulary alone; empty where token ids are not known.
    pub token_identity: Vec<TokenIdentity>,
    /// Neurons that at least one feature uses.
    pub used_neurons: usize,
    /// The neurons that most features share, most shared first.
    pub shared_neurons: Vec<SharedNeuron>,
    /// Mean over pairs of features alive of the share of neurons that both use: |A ∩ B| / |A ∪ B|.
    pub mean_overlap: f64,
}

/// Two features that say the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Duplicate {
    /// The one of lower number.
    pub first: usize,
    /// The other.
    pub second: usize,
    /// Their cosine; −1 for opposites.
    pub cosine: f32,
}

/// A feature that stands for one token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TokenIdentity {
    /// The feature.
    pub feature: usize,
    /// The token's id.
    pub token_id: i64,
    /// Row at which it is strongest.
    pub row: usize,
    /// Share of Σ yᵢₖ² that lies on that token.
    pub share: f64,
}

/// A neuron of several features.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SharedNeuron {
    /// Its number.
    pub neuron: usize,
    /// The features that use it.
    pub features: Vec<usize>,
}

/// How many shared neurons are named.
const SHARED_NEURONS: usize = 20;

/// Looks at the features Z [K, d] with their coefficients Y [n, K], their statistics (K of them) and the tokens' ids (n of
/// them), where known.
///
/// # Panics
/// If there are fewer statistics than features, or fewer rows of coefficients than tokens.
pub fn health(
    features: &DenseMatrix,
    coefficients: &DenseMatrix,
    statistics: &[FeatureStatistics],
    token_ids: Option<&[i64]>,
) -> Health {
    let rank = features.rows;
    let is_dead: Vec<bool> = statistics.iter().map(|s| s.active_share == 0.0 || s.nonzeros == 0).collect();
    let alive: Vec<usize> = (0..rank).filter(|&k| !is_dead[k]).collect();
    let mean = alive.iter().map(|&k| statistics[k].explained_share).sum::<f64>() / alive.len().max(1) as f64;
    let mut low_share: Vec<usize> =
        alive.iter().copied().filter(|&k| statistics[k].explained_share < LOW_SHARE * mean).collect();
    low_share.sort_by(|&a, &b| statistics[a].explained_share.total_cmp(&statistics[b].explained_share));

    let mut users: Vec<Vec<usize>> = vec![Vec::new(); features.columns];
    for k in 0..rank {
        neurons(features, k).for_each(|j| users[j].push(k));
    }
    let used_neurons = users.iter().filter(|users| !users.is_empty()).count();
    let mut shared: Vec<SharedNeuron> = users
        .into_iter()
        .enumerate()
        .filter(|(_, features)| features.len() > 1)
        .map(|(neuron, features)| SharedNeuron { neuron, features })
        .collect();
    shared.sort_by_key(|s| (std::cmp::Reverse(s.features.len()), s.neuron));
    shared.truncate(SHARED_NEURONS);
    Health {
        dead: (0..rank).filter(|&k| is_dead[k]).collect(),
        duplicates: duplicates(features),
        low_share,
        token_identity: token_ids.map_or_else(Vec::new, |ids| token_identity(coefficients, ids)),
        used_neurons,
        shared_neurons: shared,
        mean_overlap: mean_overlap(features, &alive),
    }
}

/// The neurons of a feature, ascending.
fn neurons(features: &DenseMatrix, feature: usize) -> impl Iterator<Item = usize> {
    nonzeros(features.row(feature)).map(|(j, _)| j)
}

fn duplicates(features: &DenseMatrix) -> Vec<Duplicate> {
    let cosines = feature_cosines(features, features);
    let mut found: Vec<Duplicate> = (0..features.rows)
        .flat_map(|first| (first + 1..features.rows).map(move |second| (first, second)))
        .map(|(first, second)| Duplicate { first, second, cosine: cosines.row(first)[second] })
        .filter(|pair| pair.cosine.abs() >= DUPLICATE_COSINE)
        .collect();
    found.sort_by(|a, b| b.cosine.abs().total_cmp(&a.cosine.abs()).then((a.first, a.second).cmp(&(b.first, b.second))));
    found
}

fn token_identity(coefficients: &DenseMatrix, token_ids: &[i64]) -> Vec<TokenIdentity> {
    /// Energy on a token, and where it is strongest.
    #[derive(Clone, Copy)]
    struct Seen {
        energy: f64,
        row: usize,
        coefficient: f32,
    }
    let of_feature = |feature: usize| {
        let mut tokens: HashMap<i64, Seen> = HashMap::new();
        for (row, &token_id) in token_ids.iter().enumerate() {
            let coefficient = coefficients.row(row)[feature];
            if coefficient > 0.0 {
                let seen = tokens.entry(token_id).or_insert(Seen { energy: 0.0, row, coefficient });
                seen.energy += f64::from(coefficient).powi(2);
                if coefficient > seen.coefficient {
                    (seen.row, seen.coefficient) = (row, coefficient);
                }
            }
        }
        let total: f64 = tokens.values().map(|seen| seen.energy).sum();
        let (&token_id, seen) = tokens.iter().max_by(|a, b| a.1.energy.total_cmp(&b.1.energy).then(b.0.cmp(a.0)))?;
        let share = seen.energy / total;
        (share >= TOKEN_SHARE).then_some(TokenIdentity { feature, token_id, row: seen.row, share })
    };
    (0..coefficients.columns).into_par_iter().filter_map(of_feature).collect()
}

fn mean_overlap(features: &DenseMatrix, alive: &[usize]) -> f64 {
    let sets: Vec<Vec<usize>> = alive.iter().map(|&k| neurons(features, k).collect()).collect();
    let pairs = (sets.len() * sets.len().saturating_sub(1) / 2).max(1) as f64;
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
    /// Neurons that more than half of the group use, with one sign, most used first: what its members have in common.
    pub core: Vec<usize>,
    /// For each member, the neurons that no other member uses.
    pub exclusive: Vec<Vec<usize>>,
}

/// Core and exclusive neurons of the features `group` (Shafran et al. 2025 find both among features that nest).
pub fn neuron_group(features: &DenseMatrix, group: &[usize]) -> NeuronGroup {
    /// Members that use a neuron with a positive and with a negative weight.
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
    core.sort_by_key(|&(most, j)| (std::cmp::Reverse(most), j));
    let exclusive =
        group.iter().map(|&k| neurons(features, k).filter(|j| users[j].0 + users[j].1 == 1).collect()).collect();
    NeuronGroup { core: core.into_iter().map(|(_, j)| j).collect(), exclusive }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(columns: usize, values: &[f32]) -> DenseMatrix {
        DenseMatrix { rows: values.len() / columns, columns, values: values.to_vec() }
    }

    fn statistics(shares: &[(f64, f64)]) -> Vec<FeatureStatistics> {
        let one = |&(explained_share, active_share): &(f64, f64)| FeatureStatistics {
            explained_share,
            active_share,
            nonzeros: 2,
            ..Default::default()
        };
        shares.iter().map(one).collect()
    }

    #[test]
    fn dead_weak_and_duplicate_features_are_found() {
        let z = matrix(4, &[1.0, 2.0, 0.0, 0.0, -10.0, -20.1, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 5.0, 0.0, 1.0]);
        let y = matrix(4, &[1.0, 0.0, 0.0, 0.1]);
        let found = health(&z, &y, &statistics(&[(0.5, 1.0), (0.4, 0.5), (0.3, 0.0), (0.001, 1.0)]), None);
        assert_eq!((found.dead, found.low_share), (vec![2], vec![3]));
        assert_eq!(found.duplicates.len(), 1);
        let strongest = found.duplicates[0];
        assert_eq!((strongest.first, strongest.second), (0, 1));
        assert!(strongest.cosine < -0.999);
        assert_eq!(found.used_neurons, 4);
        assert_eq!(found.shared_neurons[0], SharedNeuron { neuron: 1, features: vec![0, 1, 3] });
        // Pairs alive: (0, 1) share both of 2; (0, 3) and (1, 3) one of 3.
        assert!((found.mean_overlap - (1.0 + 1.0 / 3.0 + 1.0 / 3.0) / 3.0).abs() < 1e-12);
        assert!(found.token_identity.is_empty());
    }

    #[test]
    fn a_feature_of_one_token_is_told_from_one_of_many() {
        // Tokens 7 and 8 in turn; feature 0 fires on 7 alone but for a trace, feature 1 on both.
        let ids = [7, 8, 7, 8, 7];
        let y = matrix(2, &[3.0, 1.0, 0.1, 1.0, 4.0, 1.0, 0.0, 1.0, 2.0, 1.0]);
        let z = matrix(2, &[1.0, 0.0, 0.0, 1.0]);
        let found = health(&z, &y, &statistics(&[(0.5, 0.8), (0.5, 1.0)]), Some(&ids)).token_identity;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].feature, found[0].token_id, found[0].row), (0, 7, 2));
        assert!((found[0].share - 29.0 / 29.01).abs() < 1e-6);
    }

    #[test]
    fn core_neurons_are_shared_with_one_sign_and_exclusive_ones_are_not_shared() {
        let z = matrix(5, &[1.0, 1.0, 1.0, 0.0, 0.0, 2.0, -1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        let group = neuron_group(&z, &[0, 1, 2]);
        assert_eq!(group.core, [0]);
        assert_eq!(group.exclusive, [vec![2], vec![3], vec![4]]);
        assert_eq!(neuron_group(&z, &[]), NeuronGroup::default());
    }
}
