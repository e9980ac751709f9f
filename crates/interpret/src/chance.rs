//! What a matching gives if two fits have nothing in common.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use unmix::{DenseMatrix, Error, Matching, feature_cosines, match_features, match_similarities};

use crate::correlation::cross_correlations;

/// Matches the features `first` with `shuffles` shuffled copies of `second`. A shuffle moves each neuron's weights
/// among the features of `second` that are not zero. So each neuron is used as often and as strongly as before, but
/// which neurons a feature has is left to chance.
///
/// Shuffle i draws from stream i of the generator of `seed`, so the result does not depend on the number of cores.
///
/// # Errors
/// As [`match_features`].
pub fn match_by_chance(
    first: &DenseMatrix,
    second: &DenseMatrix,
    shuffles: usize,
    seed: u64,
) -> Result<Vec<Matching>, Error> {
    // Matrices whose sizes contradict their values are refused before they are shuffled.
    feature_cosines(first, second)?;
    let living = living(second);
    (0..shuffles)
        .into_par_iter()
        .map(|shuffle| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(shuffle as u64);
            match_features(first, &shuffled(second, &living, &mut rng))
        })
        .collect()
}

/// Matches the columns of the coefficients `first` [n, A] and `second` [n, B] by their correlations, with the tokens of
/// `second` in `shuffles` random orders. So each feature is used as often and as strongly as before, but at other tokens.
///
/// Shuffle i draws from stream i of the generator of `seed`.
///
/// # Panics
/// If they have different numbers of rows.
pub fn match_correlations_by_chance(
    first: &DenseMatrix,
    second: &DenseMatrix,
    shuffles: usize,
    seed: u64,
) -> Vec<Matching> {
    let mut order: Vec<usize> = (0..second.rows).collect();
    (0..shuffles)
        .map(|shuffle| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(shuffle as u64);
            order.shuffle(&mut rng);
            let values = order.iter().flat_map(|&row| second.row(row)).copied().collect();
            match_similarities(&cross_correlations(first, &DenseMatrix { values, ..*second }))
        })
        .collect()
}

/// The features that are not zero.
fn living(features: &DenseMatrix) -> Vec<usize> {
    (0..features.rows).filter(|&k| features.row(k).iter().any(|&z| z != 0.0)).collect()
}

/// The features, with the values of each column in another order among the rows `living`.
fn shuffled(features: &DenseMatrix, living: &[usize], rng: &mut ChaCha8Rng) -> DenseMatrix {
    let mut copy = features.clone();
    let mut order = living.to_vec();
    for neuron in 0..features.columns {
        order.shuffle(rng);
        for (&from, &to) in living.iter().zip(&order) {
            copy.values[to * features.columns + neuron] = features.row(from)[neuron];
        }
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Features of four neurons each, out of 64, drawn at random.
    fn features(seed: u64) -> DenseMatrix {
        use rand::RngExt;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut values = vec![0f32; 20 * 64];
        for row in values.chunks_exact_mut(64) {
            (0..4).for_each(|_| row[rng.random_range(0..64)] = rng.random_range(-1.0..1.0));
        }
        DenseMatrix { rows: 20, columns: 64, values }
    }

    #[test]
    fn a_shuffle_keeps_the_weights_of_each_neuron_and_the_zero_features() {
        let mut features = features(1);
        features.values[3 * 64..4 * 64].fill(0.0);
        let living = living(&features);
        let other = shuffled(&features, &living, &mut ChaCha8Rng::seed_from_u64(0));
        assert!(other != features && other.row(3).iter().all(|&z| z == 0.0));
        let column = |matrix: &DenseMatrix, neuron: usize| {
            let mut column: Vec<f32> = (0..matrix.rows).map(|k| matrix.row(k)[neuron]).collect();
            column.sort_by(f32::total_cmp);
            column
        };
        (0..64).for_each(|neuron| assert_eq!(column(&other, neuron), column(&features, neuron), "neuron {neuron}"));
    }

    #[test]
    fn features_over_other_neurons_are_an_error() {
        let wide = DenseMatrix { rows: 2, columns: 3, values: vec![1.0; 6] };
        let narrow = DenseMatrix { rows: 2, columns: 2, values: vec![1.0; 4] };
        assert!(match_by_chance(&wide, &narrow, 2, 0).is_err());
    }

    #[test]
    fn fits_that_have_nothing_in_common_match_as_well_as_chance() {
        let (first, second) = (features(1), features(2));
        let by_chance = |other| match_by_chance(&first, other, 5, 7).expect("over the same neurons");
        let chance = by_chance(&second);
        let mean = chance.iter().map(Matching::stability).sum::<f64>() / 5.0;
        assert!(
            (mean - match_features(&first, &second).expect("over the same neurons").stability()).abs() < 0.15,
            "{mean}"
        );
        let own = by_chance(&first);
        assert!(own.iter().all(|chance| chance.stability() < 0.8 && chance.at_least(0.99) < 5));
        assert_eq!(chance, by_chance(&second));
    }
}
