//! How far fits with other seeds agree.

use unmix::{DenseMatrix, match_features};

/// From this cosine on, a feature was found again.
const FOUND_AGAIN: f32 = 0.8;

/// How far several fits agree that differ in their seeds alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SeedAgreement {
    /// The [stability](unmix::Matching::stability) of each pair of fits.
    pub stabilities: Vec<f64>,
    /// For each fit, the number of its features that at least half of the other fits have as well, with a cosine of at
    /// least 0.8.
    pub reproducible: Vec<u32>,
}

impl SeedAgreement {
    /// Matches the features \[K, d\] of all fits with one another.
    ///
    /// # Errors
    /// As [`match_features`].
    pub fn of(fits: &[DenseMatrix]) -> Result<SeedAgreement, unmix::Error> {
        let mut stabilities = Vec::new();
        let mut found_in: Vec<Vec<u32>> = fits.iter().map(|features| vec![0; features.rows]).collect();
        for second in 0..fits.len() {
            for first in 0..second {
                let matching = match_features(&fits[first], &fits[second])?;
                stabilities.push(matching.stability());
                for pair in matching.pairs.iter().filter(|pair| pair.cosine >= FOUND_AGAIN) {
                    found_in[first][pair.first] += 1;
                    found_in[second][pair.second] += 1;
                }
            }
        }
        let others = fits.len().saturating_sub(1) as u32;
        let is_reproducible = |found: &u32| others > 0 && 2 * found >= others;
        let reproducible = found_in.iter().map(|found| found.iter().filter(|f| is_reproducible(f)).count() as u32);
        Ok(SeedAgreement { stabilities, reproducible: reproducible.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(rows: &[[f32; 3]]) -> DenseMatrix {
        DenseMatrix { rows: rows.len(), columns: 3, values: rows.concat() }
    }

    #[test]
    fn a_feature_is_reproducible_if_half_of_the_other_fits_have_it() {
        let both = features(&[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
        let turned = features(&[[0.0, 2.0, 0.0], [3.0, 0.0, 0.0]]);
        let other = features(&[[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]);
        let found = SeedAgreement::of(&[both.clone(), turned, other]).expect("over the same neurons");
        // The second feature of the first two fits is in one of two others; the third fit's own feature is in none.
        assert_eq!((found.reproducible, found.stabilities), (vec![2, 2, 1], vec![1.0, 0.5, 0.5]));
        let alone = SeedAgreement::of(&[both]).expect("a fit");
        assert_eq!((alone.reproducible, alone.stabilities), (vec![0], vec![]));
    }
}
