//! How the coefficients of each feature are distributed.

use serde::Serialize;
use unmix::DenseMatrix;

use crate::columns::map_columns;

/// The coefficients of one feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// Tokens whose coefficient is above zero.
    pub active: u64,
    /// The largest coefficient.
    pub largest: f32,
    /// How many coefficients above zero fall in each of several equally wide bins from 0 to the largest. A bin includes
    /// its upper end.
    pub counts: Vec<u64>,
    /// The coefficients above zero at the shares [`QUANTILES`] (nearest rank).
    pub quantiles: [f32; QUANTILES.len()],
}

/// The shares at which [`Distribution::quantiles`] are taken.
pub const QUANTILES: [f64; 5] = [0.25, 0.5, 0.75, 0.9, 0.99];

/// The largest coefficient of each feature (column) of Y [n, K], at least 0.
pub(crate) fn largest_coefficients(coefficients: &DenseMatrix) -> Vec<f32> {
    let mut largest = vec![0f32; coefficients.columns];
    for row in coefficients.values.chunks_exact(coefficients.columns.max(1)) {
        largest.iter_mut().zip(row).for_each(|(largest, &y)| *largest = largest.max(y));
    }
    largest
}

/// The distribution of the coefficients Y [n, K] of each feature (column), in `bins` bins.
pub fn distributions(coefficients: &DenseMatrix, bins: usize) -> Vec<Distribution> {
    map_columns(coefficients, |_, y| (y > 0.0).then_some(y), |active| distribution(active, bins))
}

fn distribution(mut active: Vec<f32>, bins: usize) -> Distribution {
    let largest = active.iter().copied().fold(0.0, f32::max);
    let mut counts = vec![0; bins];
    if bins > 0 {
        for &y in &active {
            counts[bin_of(y, largest, bins)] += 1;
        }
    }
    let quantiles = QUANTILES.map(|share| {
        let rank = (share * active.len() as f64).ceil() as usize;
        match rank.checked_sub(1) {
            Some(at) => *active.select_nth_unstable_by(at, f32::total_cmp).1,
            None => 0.0,
        }
    });
    Distribution { active: active.len() as u64, largest, counts, quantiles }
}

/// Which of `bins` equally wide bins from 0 to `largest` holds `value`. A bin includes its upper end.
pub(crate) fn bin_of(value: f32, largest: f32, bins: usize) -> usize {
    let bin = (f64::from(value) / f64::from(largest) * bins as f64).ceil() as usize;
    bin.clamp(1, bins) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_quantiles_are_those_of_the_sorted_column() {
        // 37 features, so that the last group is smaller. Column k holds 1..=100 times k+1 in a shuffled order, and
        // zeros.
        let (rows, rank) = (150, 37);
        let value = |i: usize, k: usize| if i < 100 { (((i * 37) % 100 + 1) * (k + 1)) as f32 } else { 0.0 };
        let values = (0..rows * rank).map(|at| value(at / rank, at % rank)).collect();
        let found = distributions(&DenseMatrix { rows, columns: rank, values }, 10);
        assert_eq!(found.len(), rank);
        for (k, found) in found.iter().enumerate() {
            let scale = (k + 1) as f32;
            assert_eq!((found.active, found.largest), (100, 100.0 * scale));
            assert_eq!(found.counts, [10; 10]);
            assert_eq!(found.quantiles, [25.0, 50.0, 75.0, 90.0, 99.0].map(|q| q * scale));
        }
    }

    #[test]
    fn a_dead_feature_has_an_empty_distribution() {
        let found = distributions(&DenseMatrix { rows: 2, columns: 1, values: vec![0.0; 2] }, 3);
        assert_eq!(found, [Distribution { counts: vec![0; 3], ..Default::default() }]);
    }
}
