//! What runs agree on: the features that most of them have, and how well each feature comes back.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::clusters::directions;
use crate::matching::match_unit_features;
use crate::pool::{Counterpart, Pool};
use crate::sparse_features::{SparseFeatures, cut};

/// A run has found a feature if one of its features has at least this cosine with it.
const FOUND: f64 = 0.8;
/// The mean over the nearest features of all runs may bring two clusters together again. From this cosine on, the later one keeps its own
/// direction. The bound is below that of a copy, because the fit to the tokens moves features a little.
const TOO_NEAR: f64 = 0.85;
/// Halves of the runs that are compared: the runs are parted into two of them 20 times. With five times, the halves' chance differences still show
/// in the means.
pub(crate) const HALVES: usize = 40;
/// Most pairs of runs, and most halves of them, that a mean over all features is taken of. It hardly differs from that of all of them.
const IN_A_MEAN: usize = 10;

/// What the runs agree on.
pub(crate) struct Agreement {
    pool: Pool,
    counterparts: Vec<Vec<Counterpart>>,
    rank: usize,
    kept: usize,
    /// What each half of the runs agrees on, for each parting of the runs into halves.
    halves: Vec<SparseFeatures>,
}

impl Agreement {
    /// Pools the features of runs. Each run has as many features, over the same neurons, with at most `kept` nonzeros. The runs are parted
    /// into halves at random, several times. `seed` decides how.
    pub fn of(runs: &[SparseFeatures], kept: u32, seed: u64) -> Self {
        let pool = Pool::of(runs);
        let rank = runs.first().map_or(0, |features| features.rows.len());
        let counterparts = pool.counterparts();
        let mut agreement = Agreement { counterparts, pool, rank, kept: kept as usize, halves: Vec::new() };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut order: Vec<usize> = (0..runs.len()).collect();
        let mut halves: Vec<Vec<bool>> = Vec::with_capacity(HALVES);
        while halves.len() < HALVES {
            order.shuffle(&mut rng);
            let (first, _) = order.split_at(order.len() / 2);
            let is_first: Vec<bool> = (0..order.len()).map(|run| first.contains(&run)).collect();
            halves.push(is_first.iter().map(|is_first| !is_first).collect());
            halves.push(is_first);
        }
        agreement.halves = halves.par_iter().map(|half| agreement.directions(half)).collect();
        agreement
    }

    /// The features that the runs agree on most, each with at most `kept` nonzeros, the most agreed on first. If the runs have too few features
    /// that are not zero, the last ones are zeros.
    pub fn features(&self) -> SparseFeatures {
        let clusters = self.directions(&vec![true; self.pool.runs]);
        // A cluster has lost the features that were nearer to an earlier one. So the mean is taken again, over the nearest features.
        let again = |row: &Vec<_>| {
            let mut mean = vec![0f64; self.pool.neurons];
            for near in self.pool.nearest(row) {
                for &(neuron, value) in &self.pool.features[near.feature as usize].1 {
                    mean[neuron as usize] += near.cosine * f64::from(value);
                }
            }
            cut(&mut (0..).zip(mean).filter(|(_, z)| *z != 0.0).collect(), self.kept)
        };
        let mut features =
            SparseFeatures { rows: clusters.rows.par_iter().map(again).collect(), neurons: clusters.neurons };
        let mut place = vec![0f64; self.pool.neurons];
        for k in 1..features.rows.len() {
            let (earlier, rest) = features.rows.split_at_mut(k);
            rest[0].iter().for_each(|&(neuron, z)| place[neuron as usize] = z.into());
            let cosine =
                |other: &Vec<_>| other.iter().map(|&(neuron, z)| f64::from(z) * place[neuron as usize]).sum::<f64>();
            let is_near = earlier.iter().any(|other| cosine(other) >= TOO_NEAR);
            place.fill(0.0);
            if is_near {
                rest[0].clone_from(&clusters.rows[k]);
            }
        }
        features
    }

    /// How well each of some features comes back, from 0 to 1: the mean cosine with the nearest feature of what one half of the runs agrees on.
    ///
    /// The mean cosine with a run's features says less, because a feature that is never found exactly may have the same mean every time. The cosine
    /// with a match, where features are matched one to one, says less as well: it is low where another feature takes the nearest one.
    pub fn reproducibility(&self, features: &SparseFeatures) -> Vec<f64> {
        let of_half = |half| {
            let cosines = features.cosines(half);
            (0..cosines.rows).map(|k| largest(cosines.row(k))).collect()
        };
        let nearest: Vec<Vec<f64>> = self.halves.par_iter().map(of_half).collect();
        let mean = |k: usize| nearest.iter().map(|half| half[k]).sum::<f64>() / nearest.len() as f64;
        (0..features.rows.len()).map(mean).collect()
    }

    /// The mean stability of the matchings of some features with what some of the halves agree on.
    pub fn stability_with_halves(&self, features: &SparseFeatures) -> f64 {
        mean_stability(self.halves[..IN_A_MEAN].par_iter().map(|half| (features, half)))
    }

    /// Number of runs that have found each of some features.
    pub fn found_in(&self, features: &SparseFeatures) -> Vec<u32> {
        let found = |row: &Vec<_>| self.pool.nearest(row).iter().filter(|near| near.cosine >= FOUND).count() as u32;
        features.rows.par_iter().map(found).collect()
    }

    fn directions(&self, is_in: &[bool]) -> SparseFeatures {
        directions(&self.pool, &self.counterparts, is_in, self.rank, self.kept)
    }
}

/// The largest of some cosines, or 0 if all are below.
fn largest(cosines: &[f32]) -> f64 {
    f64::from(cosines.iter().copied().fold(0.0, f32::max))
}

/// The mean stability of the matchings of runs with the next one, and of the last with the first. Of many runs, only some pairs are matched.
pub(crate) fn stability(runs: &[SparseFeatures]) -> f64 {
    let pairs = if runs.len() == 2 { 1 } else { runs.len().min(IN_A_MEAN) };
    mean_stability((0..pairs).into_par_iter().map(|run| (&runs[run], &runs[(run + 1) % runs.len()])))
}

/// The mean stability of the matchings of some pairs. The sum is taken in their order, so that its bits do not depend on the threads.
fn mean_stability<'f>(pairs: impl IndexedParallelIterator<Item = (&'f SparseFeatures, &'f SparseFeatures)>) -> f64 {
    let stabilities: Vec<f64> = pairs.map(|(first, second)| match_unit_features(first, second).stability()).collect();
    stabilities.iter().sum::<f64>() / stabilities.len() as f64
}

#[cfg(test)]
mod tests {
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::DenseMatrix;
    use crate::matching::Matching;

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

    fn sparse(runs: &[DenseMatrix]) -> Vec<SparseFeatures> {
        runs.iter().map(SparseFeatures::of).collect()
    }

    fn agreement_of(runs: &[DenseMatrix], kept: u32) -> Agreement {
        Agreement::of(&sparse(runs), kept, 0)
    }

    fn matched(first: &SparseFeatures, second: &SparseFeatures) -> Matching {
        match_unit_features(first, second)
    }

    fn first_rows(features: &SparseFeatures, rows: usize) -> SparseFeatures {
        SparseFeatures { rows: features.rows[..rows].to_vec(), ..*features }
    }

    #[test]
    fn what_all_runs_have_comes_first_and_is_found_in_all_of_them() {
        let (truth, runs) = runs(1, 8, 10, 6, 7);
        let agreement = agreement_of(&runs, 7);
        let agreed = agreement.features();
        let found = matched(&first_rows(&agreed, 6), &SparseFeatures::of(&truth));
        assert_eq!(found.at_least(0.97), 6);
        assert_eq!(agreement.found_in(&agreed)[..6], [8; 6]);
        let reproducibility = agreement.reproducibility(&agreed);
        assert!(reproducibility[..6].iter().all(|&mean| mean > 0.9 && mean <= 1.0));
        assert!(reproducibility[6..].iter().all(|&mean| (0.0..0.75).contains(&mean)), "{reproducibility:?}");
        assert_eq!(agreed.rows.len(), 10);
        for row in &agreed.rows {
            assert!((row.iter().map(|(_, z)| z * z).sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(row.len() <= 7 && row.is_sorted_by(|a, b| a.0 < b.0));
        }
    }

    #[test]
    fn the_order_of_the_runs_changes_nothing_in_what_they_have_in_common() {
        let (_, mut runs) = runs(2, 7, 12, 8, 9);
        // What all runs have comes first. Of a feature that two runs have, either may come out, because both are as good.
        let common = |runs: &[DenseMatrix]| first_rows(&agreement_of(runs, 9).features(), 8);
        let agreed = common(&runs);
        let agreement = stability(&sparse(&runs));
        assert!(agreement > 0.4 && agreement < 1.0, "{agreement}");
        for seed in 0..5 {
            runs.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
            let found = matched(&agreed, &common(&runs));
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
        let agreed = agreement_of(&runs, 9).features();
        let cosines = agreed.cosines(&agreed);
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
        let agreed = agreement_of(&runs, 9).features();
        let cosines = agreed.cosines(&agreed);
        for (k, l) in (0..8).flat_map(|k| (0..k).map(move |l| (k, l))) {
            assert!(cosines.row(k)[l] < 0.9, "features {k} and {l} have a cosine of {}", cosines.row(k)[l]);
        }
    }

    #[test]
    fn a_feature_comes_back_even_if_another_one_has_the_same_nearest_feature() {
        let (_, runs) = runs(5, 8, 10, 6, 7);
        let agreement = agreement_of(&runs, 7);
        let agreed = agreement.features();
        let twice = SparseFeatures { rows: [&agreed.rows[..1], &agreed.rows[..]].concat(), ..agreed };
        let reproducibility = agreement.reproducibility(&twice);
        assert!(reproducibility[0] > 0.95 && reproducibility[0] == reproducibility[1], "{reproducibility:?}");
    }

    #[test]
    fn runs_of_zeros_agree_on_zeros_and_a_single_feature_is_no_problem() {
        let zeros = vec![DenseMatrix { rows: 3, columns: 4, values: vec![0.0; 12] }; 2];
        let agreement = agreement_of(&zeros, 2);
        let agreed = agreement.features();
        assert_eq!(agreed.rows, vec![Vec::new(); 3]);
        let reproducibility = agreement.reproducibility(&agreed);
        assert_eq!((reproducibility, agreement.found_in(&agreed)), (vec![0.0; 3], vec![0; 3]));
        let one = |sign: f32| DenseMatrix { rows: 1, columns: 3, values: vec![sign, 0.0, sign * 2.0] };
        let agreed = agreement_of(&[one(1.0), one(1.0)], 1).features();
        assert_eq!(agreed.rows, [[(2, 1.0)]]);
        // Opposite features are two features, and there is room for one.
        let opposite = [one(1.0), one(-1.0)];
        let agreed = agreement_of(&opposite, 2).features();
        assert_eq!(stability(&sparse(&opposite)), 0.0);
        assert_eq!((agreed.rows.len(), agreed.rows[0].len()), (1, 2));
    }
}
