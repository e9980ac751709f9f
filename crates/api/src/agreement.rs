//! What runs agree on: the features that most of them have, and how well each feature comes back.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::clusters::{directions, write_cut};
use crate::matching::match_features;
use crate::pool::{Counterpart, Pool};
use crate::{DenseMatrix, Error};

/// A run has found a feature if one of its features has at least this cosine with it.
const FOUND: f64 = 0.8;
/// The mean over the nearest features of all runs may bring two clusters together again. From this cosine on, the later one keeps its own
/// direction. The bound is below that of a copy, because the fit to the tokens moves features a little.
const TOO_NEAR: f64 = 0.85;
/// How often the runs are parted into halves. With five times, the halves' chance differences still show in the means.
const PARTINGS: usize = 20;
/// Most pairs of runs whose stability is taken. Their mean hardly differs from that of all pairs.
const PAIRS: usize = 10;

/// What the runs agree on.
pub(crate) struct Agreement {
    pool: Pool,
    counterparts: Vec<Vec<Counterpart>>,
    rank: usize,
    kept: usize,
}

impl Agreement {
    /// Pools the features of runs. Each run has as many features, over the same neurons, with at most `kept` nonzeros.
    pub fn of(runs: &[DenseMatrix], kept: u32) -> Self {
        let pool = Pool::of(runs);
        let rank = runs.first().map_or(0, |features| features.rows);
        Agreement { counterparts: pool.counterparts(), pool, rank, kept: kept as usize }
    }

    /// The features that the runs agree on most, [K, d] with unit norm and at most `kept` nonzeros in a row, the most agreed on first. If the
    /// runs have too few features that are not zero, the last rows are zeros.
    pub fn features(&self) -> DenseMatrix {
        let clusters = self.directions(&vec![true; self.pool.runs]);
        let mut features = clusters.clone();
        // A cluster has lost the features that were nearer to an earlier one. So the mean is taken again, over the nearest features.
        features.values.par_chunks_exact_mut(self.pool.neurons.max(1)).for_each(|row| {
            let mut mean = vec![0f64; row.len()];
            for near in self.pool.nearest(row) {
                for &(neuron, value) in &self.pool.features[near.feature as usize].1 {
                    mean[neuron as usize] += near.cosine * value;
                }
            }
            write_cut(row, (0..).zip(mean).filter(|(_, z)| *z != 0.0).collect(), self.kept);
        });
        for k in 1..features.rows {
            let cosine = |l| features.row(l).iter().zip(features.row(k)).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            if (0..k).into_par_iter().any(|l| cosine(l) >= TOO_NEAR) {
                let row = k * features.columns..(k + 1) * features.columns;
                features.values[row.clone()].copy_from_slice(&clusters.values[row]);
            }
        }
        features
    }

    /// How well each of some features [K, d] comes back, from 0 to 1: the mean cosine with its match in what one half of the runs agrees on.
    /// The runs are parted into halves at random, several times.
    ///
    /// The mean cosine with a run's features says less, because a feature that is never found exactly may have the same mean every time.
    pub fn reproducibility(&self, features: &DenseMatrix, seed: u64) -> Result<Vec<f64>, Error> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut order: Vec<usize> = (0..self.pool.runs).collect();
        let mut halves = Vec::with_capacity(2 * PARTINGS);
        for _ in 0..PARTINGS {
            order.shuffle(&mut rng);
            let (first, _) = order.split_at(order.len() / 2);
            let is_first: Vec<bool> = (0..self.pool.runs).map(|run| first.contains(&run)).collect();
            halves.push(is_first.iter().map(|is_first| !is_first).collect());
            halves.push(is_first);
        }
        let matchings = halves.par_iter().map(|half: &Vec<bool>| match_features(features, &self.directions(half)));
        let mut sums = vec![0f64; features.rows];
        for pair in matchings.collect::<Result<Vec<_>, _>>()?.iter().flat_map(|matching| &matching.pairs) {
            sums[pair.first] += f64::from(pair.cosine);
        }
        Ok(sums.into_iter().map(|sum| (sum / halves.len() as f64).min(1.0)).collect())
    }

    /// Number of runs that have found each of some features [K, d].
    pub fn found_in(&self, features: &DenseMatrix) -> Vec<u32> {
        let found = |k: usize| self.pool.nearest(features.row(k)).iter().filter(|near| near.cosine >= FOUND).count();
        (0..features.rows).into_par_iter().map(|k| found(k) as u32).collect()
    }

    fn directions(&self, is_in: &[bool]) -> DenseMatrix {
        directions(&self.pool, &self.counterparts, is_in, self.rank, self.kept)
    }
}

/// The mean stability of the matchings of runs with the next one, and of the last with the first. Of many runs, only some pairs are matched.
pub(crate) fn stability(runs: &[DenseMatrix]) -> Result<f64, Error> {
    let pairs = if runs.len() == 2 { 1 } else { runs.len().min(PAIRS) };
    let stabilities: Vec<f64> = (0..pairs)
        .into_par_iter()
        .map(|run| Ok(match_features(&runs[run], &runs[(run + 1) % runs.len()])?.stability()))
        .collect::<Result<_, Error>>()?;
    Ok(stabilities.iter().sum::<f64>() / pairs as f64)
}

#[cfg(test)]
mod tests {
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::feature_cosines::norm;

    const NEURONS: usize = 60;

    /// Runs of `rank` features with `kept` nonzeros each. The first `common` features of every run are the same ones with some noise, in
    /// another order and scaled. The others are random.
    fn runs(seed: u64, runs: usize, rank: usize, common: usize, kept: usize) -> (DenseMatrix, Vec<DenseMatrix>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let feature = |rng: &mut ChaCha8Rng| -> Vec<f32> {
            let mut row = vec![0f32; NEURONS];
            rand::seq::index::sample(rng, NEURONS, kept).iter().for_each(|j| row[j] = rng.random_range(-1.0..1.0));
            row
        };
        let matrix = |rows: Vec<Vec<f32>>| DenseMatrix { rows: rows.len(), columns: NEURONS, values: rows.concat() };
        let truth: Vec<Vec<f32>> = (0..common).map(|_| feature(&mut rng)).collect();
        let run = |rng: &mut ChaCha8Rng| {
            let mut rows = truth.clone();
            for z in rows.iter_mut().flatten().filter(|z| **z != 0.0) {
                *z += rng.random_range(-0.1..0.1);
            }
            rows.extend((common..rank).map(|_| feature(rng)));
            rows.iter_mut().for_each(|row| row.iter_mut().for_each(|z| *z *= 3.0));
            rows.shuffle(rng);
            matrix(rows)
        };
        let runs = (0..runs).map(|_| run(&mut rng)).collect();
        (matrix(truth), runs)
    }

    #[test]
    fn what_all_runs_have_comes_first_and_is_found_in_all_of_them() {
        let (truth, runs) = runs(1, 8, 10, 6, 7);
        let agreement = Agreement::of(&runs, 7);
        let agreed = agreement.features();
        let first = DenseMatrix { rows: 6, columns: NEURONS, values: agreed.values[..6 * NEURONS].to_vec() };
        let found = match_features(&first, &truth).expect("a matching");
        assert_eq!(found.at_least(0.97), 6);
        assert_eq!(agreement.found_in(&agreed)[..6], [8; 6]);
        let reproducibility = agreement.reproducibility(&agreed, 0).expect("cosines");
        assert!(reproducibility[..6].iter().all(|&mean| mean > 0.9 && mean <= 1.0));
        assert!(reproducibility[6..].iter().all(|&mean| (0.0..0.75).contains(&mean)), "{reproducibility:?}");
        for k in 0..10 {
            assert!((norm(agreed.row(k)) - 1.0).abs() < 1e-6);
            assert!(agreed.row(k).iter().filter(|z| **z != 0.0).count() <= 7);
        }
    }

    #[test]
    fn the_order_of_the_runs_changes_nothing_in_what_they_have_in_common() {
        let (_, mut runs) = runs(2, 7, 12, 8, 9);
        // What all runs have comes first. Of a feature that two runs have, either may come out, because both are as good.
        let common = |runs: &[DenseMatrix]| {
            let agreed = Agreement::of(runs, 9).features();
            DenseMatrix { rows: 8, columns: NEURONS, values: agreed.values[..8 * NEURONS].to_vec() }
        };
        let agreed = common(&runs);
        let agreement = stability(&runs).expect("a stability");
        assert!(agreement > 0.4 && agreement < 1.0, "{agreement}");
        for seed in 0..5 {
            runs.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
            let found = match_features(&agreed, &common(&runs)).expect("a matching");
            assert!(found.stability() > 0.9999, "{} after shuffle {seed}", found.stability());
        }
    }

    #[test]
    fn features_that_one_run_has_twice_are_used_once() {
        let (_, mut runs) = runs(3, 5, 6, 6, 9);
        for run in &mut runs {
            let copy = run.row(0).to_vec();
            run.values[5 * NEURONS..].copy_from_slice(&copy);
        }
        let agreed = Agreement::of(&runs, 9).features();
        let cosines = crate::feature_cosines(&agreed, &agreed).expect("cosines");
        let copies = (0..6).flat_map(|k| (0..k).map(move |l| (k, l))).filter(|&(k, l)| cosines.row(k)[l] > 0.9).count();
        assert!(copies <= 1, "{copies} copies");
    }

    #[test]
    fn a_feature_that_every_run_has_twice_is_used_once_while_there_are_others() {
        let (truth, mut runs) = runs(4, 6, 8, 5, 9);
        for run in &mut runs {
            let cosines = crate::feature_cosines(run, &truth).expect("cosines");
            let largest = |row: usize| cosines.row(row).iter().copied().fold(f32::MIN, f32::max);
            let common = (0..8).find(|&row| cosines.row(row)[0] > 0.9).expect("a common feature");
            let rarest = (0..8).min_by(|&a, &b| largest(a).total_cmp(&largest(b))).expect("features");
            let copy = run.row(common).to_vec();
            run.values[rarest * NEURONS..(rarest + 1) * NEURONS].copy_from_slice(&copy);
        }
        let agreed = Agreement::of(&runs, 9).features();
        let cosines = crate::feature_cosines(&agreed, &agreed).expect("cosines");
        for (k, l) in (0..8).flat_map(|k| (0..k).map(move |l| (k, l))) {
            assert!(cosines.row(k)[l] < 0.9, "features {k} and {l} have a cosine of {}", cosines.row(k)[l]);
        }
    }

    #[test]
    fn runs_of_zeros_agree_on_zeros_and_a_single_feature_is_no_problem() {
        let zeros = vec![DenseMatrix { rows: 3, columns: 4, values: vec![0.0; 12] }; 2];
        let agreement = Agreement::of(&zeros, 2);
        let agreed = agreement.features();
        assert_eq!(agreed.values, [0.0; 12]);
        let reproducibility = agreement.reproducibility(&agreed, 0).expect("cosines");
        assert_eq!((reproducibility, agreement.found_in(&agreed)), (vec![0.0; 3], vec![0; 3]));
        let one = |sign: f32| DenseMatrix { rows: 1, columns: 3, values: vec![sign, 0.0, sign * 2.0] };
        let agreed = Agreement::of(&[one(1.0), one(1.0)], 1).features();
        assert_eq!(agreed.values, [0.0, 0.0, 1.0]);
        // Opposite features are two features, and there is room for one.
        let agreed = Agreement::of(&[one(1.0), one(-1.0)], 2).features();
        assert_eq!(stability(&[one(1.0), one(-1.0)]).expect("a stability"), 0.0);
        assert!((norm(agreed.row(0)) - 1.0).abs() < 1e-6);
    }
}
