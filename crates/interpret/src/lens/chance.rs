//! Which of the tokens that a feature promotes are beyond what random directions do.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use unmix::DenseMatrix;

use super::{LensError, LensReading, Readout};

/// Random directions that are read.
const DIRECTIONS: usize = 200;
/// Share of the random directions of which no token reaches the threshold.
const SHARE: f64 = 0.95;

/// The logits that 95% of random directions do not reach with any token. A random direction has the weights of a
/// feature, so also its norm, at neurons drawn at random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LensChance {
    /// 95th percentile of the largest logits, above zero.
    pub promoted: f64,
    /// 95th percentile of the smallest logits, below zero.
    pub suppressed: f64,
}

impl Readout {
    /// As [`Readout::read`] for the directions of `features` Z [K, d], but only the tokens that are beyond chance: each
    /// list has those that pass [`LensChance`], and is empty if there are none. Random directions are drawn from `seed`.
    ///
    /// # Errors
    /// As [`Readout::directions`] and [`Readout::read`].
    pub fn read_beyond_chance(
        &self,
        features: &DenseMatrix,
        most: usize,
        seed: u64,
    ) -> Result<(Vec<LensReading>, LensChance), LensError> {
        let random = random_features(features, DIRECTIONS, seed);
        // All are read at once, because reading the unembedding takes most of the time.
        let mut directions = self.directions(features)?;
        directions.values.extend(self.directions(&random)?.values);
        directions.rows += random.rows;
        let mut readings = self.read(&directions, most.max(1))?;
        let by_chance = readings.split_off(features.rows);
        let first = |tokens: fn(&LensReading) -> &[super::TokenIdLogit]| {
            by_chance.iter().filter_map(move |reading| tokens(reading).first()).map(|token| f64::from(token.logit))
        };
        let chance = LensChance {
            promoted: percentile(first(|reading| &reading.promoted)),
            suppressed: -percentile(first(|reading| &reading.suppressed).map(|logit| -logit)),
        };
        for reading in &mut readings {
            reading.promoted.retain(|token| f64::from(token.logit) > chance.promoted);
            reading.suppressed.retain(|token| f64::from(token.logit) < chance.suppressed);
            reading.promoted.truncate(most);
            reading.suppressed.truncate(most);
        }
        Ok((readings, chance))
    }
}

/// `count` features that have the weights of those of Z [K, d] that are not zero, in turn, at neurons drawn at random.
/// None if all are zero.
fn random_features(features: &DenseMatrix, count: usize, seed: u64) -> DenseMatrix {
    let living: Vec<&[f32]> =
        (0..features.rows).map(|k| features.row(k)).filter(|row| row.iter().any(|&weight| weight != 0.0)).collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let rows = if living.is_empty() { 0 } else { count };
    let mut values = Vec::with_capacity(rows * features.columns);
    for draw in 0..rows {
        let mut row = living[draw % living.len()].to_vec();
        row.shuffle(&mut random);
        values.extend(row);
    }
    DenseMatrix { rows, columns: features.columns, values }
}

/// The value that a share of [`SHARE`] of the values does not exceed. 0 without values.
fn percentile(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let place = (SHARE * values.len() as f64).ceil() as usize;
    place.checked_sub(1).map_or(0.0, |at| values[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_features_keep_the_weights_of_features_that_live() {
        let features = DenseMatrix {
            rows: 3,
            columns: 4,
            values: [[1.0, -2.0, 0.0, 0.5], [0.0; 4], [3.0, 0.0, 0.0, 0.0]].concat(),
        };
        let random = random_features(&features, 20, 1);
        assert_eq!(random.rows, 20);
        let mut places = Vec::new();
        for k in 0..20 {
            let mut weights = random.row(k).to_vec();
            weights.sort_by(f32::total_cmp);
            let wanted = if k % 2 == 0 { [-2.0, 0.0, 0.5, 1.0] } else { [0.0, 0.0, 0.0, 3.0] };
            assert_eq!(weights, wanted);
            places.push(random.row(k).iter().position(|&w| w == wanted[3]));
        }
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 4, "neurons are drawn at random");
        let none = DenseMatrix { rows: 1, columns: 2, values: vec![0.0; 2] };
        assert_eq!(random_features(&none, 20, 1).rows, 0);
    }

    #[test]
    fn one_in_twenty_is_above_the_percentile() {
        assert_eq!(percentile((1..=200).rev().map(f64::from)), 190.0);
        assert_eq!((percentile([3.0].into_iter()), percentile([].into_iter())), (3.0, 0.0));
    }
}
