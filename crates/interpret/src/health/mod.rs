//! Whether a fit is sound. It looks for features that do nothing, are active nearly everywhere, are copies of each
//! other or stand for a single token, for neurons that nearly all features share, and for tokens that hold nearly
//! everything.

mod neuron_use;
mod token_use;

use serde::Serialize;
use unmix::{DenseMatrix, FeatureStatistics};

use crate::rows::mutual_cosines;

pub(crate) use neuron_use::LEAST_FEATURES;
pub use neuron_use::{NeuronGroup, OUTLIER_NEURON_SHARE, SharedNeuron, neuron_group};
pub use token_use::{OUTLIER_TOKEN_NORM, TOKEN_SHARE, TokenEnergy, TokenIdentity};

use neuron_use::{NeuronUse, mean_overlap};
use token_use::token_identity;

/// From this |cosine| on, two features are near copies of each other, or near opposites.
pub const DUPLICATE_COSINE: f32 = 0.9;
/// The features of a fit are dense if the median feature is active at more than this share of the tokens.
pub const DENSE_SHARE: f64 = 0.5;
/// A feature has a low share if it explains less than this part of what the mean feature explains.
pub const LOW_SHARE: f64 = 0.1;

/// What a reader should know about a fit before reading its features.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Health {
    /// Features that no token uses, or that have no neurons.
    pub dead: Vec<usize>,
    /// The share of tokens at which a feature is active: the median over the living features.
    pub median_active_share: f64,
    /// Pairs of features with |cosine| ≥ [`DUPLICATE_COSINE`], largest |cosine| first. They are near copies, or near
    /// opposites.
    pub duplicates: Vec<Duplicate>,
    /// Living features that explain less than [`LOW_SHARE`] of the mean, least first.
    pub low_share: Vec<usize>,
    /// Features that stand for a single token of the vocabulary. Empty if token ids are not known.
    pub token_identity: Vec<TokenIdentity>,
    /// Neurons that at least one living feature uses.
    pub used_neurons: usize,
    /// The neurons that most features share, most shared first.
    pub shared_neurons: Vec<SharedNeuron>,
    /// Neurons that more than [`OUTLIER_NEURON_SHARE`] of the features use, while far fewer features use the mean
    /// neuron. Most shared first.
    pub outlier_neurons: Vec<usize>,
    /// How the features' energy is spread over the tokens.
    pub token_energy: TokenEnergy,
    /// The share of neurons that two living features both use, |A ∩ B| / |A ∪ B|: the mean over all pairs.
    pub mean_overlap: f64,
}

/// Two features with nearly the same direction, or nearly opposite ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Duplicate {
    /// The feature with the lower number.
    pub first: usize,
    /// The other feature.
    pub second: usize,
    /// Their cosine. It is −1 for opposites.
    pub cosine: f32,
}

/// Looks at the features Z [K, d] with their coefficients Y [n, K], their statistics (K of them) and, if known, the ids
/// of the n tokens.
///
/// # Panics
/// If there are fewer statistics than features, or fewer rows of coefficients than token ids.
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

    let mut shares: Vec<f64> = alive.iter().map(|&k| statistics[k].active_share).collect();
    shares.sort_by(f64::total_cmp);
    let neurons = NeuronUse::of(features, &alive);
    Health {
        dead: (0..rank).filter(|&k| is_dead[k]).collect(),
        median_active_share: shares.get(shares.len() / 2).copied().unwrap_or(0.0),
        duplicates: duplicates(features),
        low_share,
        token_identity: token_ids.map_or_else(Vec::new, |ids| token_identity(coefficients, ids)),
        used_neurons: neurons.used,
        shared_neurons: neurons.shared,
        outlier_neurons: neurons.outliers,
        token_energy: TokenEnergy::of(coefficients, statistics),
        mean_overlap: mean_overlap(features, &alive),
    }
}

fn duplicates(features: &DenseMatrix) -> Vec<Duplicate> {
    let cosines = mutual_cosines(features);
    let mut found: Vec<Duplicate> = (0..features.rows)
        .flat_map(|first| (first + 1..features.rows).map(move |second| (first, second)))
        .map(|(first, second)| Duplicate { first, second, cosine: cosines.row(first)[second] })
        .filter(|pair| pair.cosine.abs() >= DUPLICATE_COSINE)
        .collect();
    found.sort_by(|a, b| b.cosine.abs().total_cmp(&a.cosine.abs()).then((a.first, a.second).cmp(&(b.first, b.second))));
    found
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
        assert_eq!((found.dead, found.low_share, found.median_active_share), (vec![2], vec![3], 1.0));
        assert_eq!(found.duplicates.len(), 1);
        let strongest = found.duplicates[0];
        assert_eq!((strongest.first, strongest.second), (0, 1));
        assert!(strongest.cosine < -0.999);
        // The dead feature alone uses neuron 2.
        assert_eq!(found.used_neurons, 3);
        assert_eq!(found.shared_neurons[0], SharedNeuron { neuron: 1, features: vec![0, 1, 3] });
        // Pairs of living features: (0, 1) share both of 2 neurons; (0, 3) and (1, 3) share one of 3.
        assert!((found.mean_overlap - (1.0 + 1.0 / 3.0 + 1.0 / 3.0) / 3.0).abs() < 1e-12);
        assert!(found.token_identity.is_empty());
    }
}
