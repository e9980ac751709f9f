//! What runs agree on: the features that are in most of them.
//!
//! All features of all runs are pooled. The feature with the best counterparts in the other runs, together with these counterparts, becomes
//! the first cluster, and they leave the pool. The next cluster is formed in the same way from the features that are left. So no run decides
//! which features there are. The direction of a cluster is the mean of its features, weighted by their cosines. Then each run is matched with
//! the directions one to one, and the mean is taken again over the matches.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rayon::prelude::*;

use crate::matching::{Matching, match_features};
use crate::{DenseMatrix, Error};

/// Features with a smaller cosine are no counterparts when clusters are formed.
const COUNTERPART: f64 = 0.3;
/// A cluster whose direction has this cosine with that of an earlier cluster is a copy of it. Where there are few distinct features, runs
/// have copies, too.
const SAME: f64 = 0.9;
/// Copies come after the clusters whose cosines sum to this share of the number of runs, and before the others.
const COMMON: f64 = 1.0 / 3.0;
/// A run has found a feature if its match has at least this cosine.
pub(crate) const FOUND: f32 = 0.8;

/// A nonzero of a feature: its neuron and its value.
type Nonzero = (u32, f64);

/// How well the runs agree on some features.
pub(crate) struct Agreement {
    /// The mean cosine of each feature's matches over the runs. A run without a match counts as 0.
    pub reproducibility: Vec<f64>,
    /// Number of runs that have found each feature.
    pub found_in: Vec<u32>,
}

impl Agreement {
    /// Matches `features` [K, d] with those of each run.
    pub fn on(features: &DenseMatrix, runs: &[DenseMatrix]) -> Result<Self, Error> {
        let matchings = match_all(features, runs)?;
        let mut agreement = Agreement { reproducibility: vec![0.0; features.rows], found_in: vec![0; features.rows] };
        for pair in matchings.iter().flat_map(|matching| &matching.pairs) {
            agreement.reproducibility[pair.first] += f64::from(pair.cosine.min(1.0)) / runs.len() as f64;
            agreement.found_in[pair.first] += u32::from(pair.cosine >= FOUND);
        }
        agreement.reproducibility.iter_mut().for_each(|mean| *mean = mean.min(1.0));
        Ok(agreement)
    }
}

/// The mean stability of the matchings of each run with the next one, and of the last with the first.
pub(crate) fn stability(runs: &[DenseMatrix]) -> Result<f64, Error> {
    let pairs = if runs.len() == 2 { 1 } else { runs.len() };
    let stabilities: Vec<f64> = (0..pairs)
        .into_par_iter()
        .map(|run| Ok(match_features(&runs[run], &runs[(run + 1) % runs.len()])?.stability()))
        .collect::<Result<_, Error>>()?;
    Ok(stabilities.iter().sum::<f64>() / pairs as f64)
}

fn match_all(features: &DenseMatrix, runs: &[DenseMatrix]) -> Result<Vec<Matching>, Error> {
    runs.par_iter().map(|run| match_features(features, run)).collect()
}

/// The features that the runs agree on most, [K, d] with unit norm and at most `kept` nonzeros in a row, the most agreed on first. Each run has
/// K features over the same neurons. If the runs have too few features that are not zero, the last rows are zeros.
pub(crate) fn agreed_features(runs: &[DenseMatrix], kept: u32) -> Result<DenseMatrix, Error> {
    let (rank, neurons) = (runs[0].rows, runs[0].columns);
    let mut directions = DenseMatrix { rows: rank, columns: neurons, values: clusters(runs, rank, neurons) };
    let matchings = match_all(&directions, runs)?;
    let mut means = vec![0f64; rank * neurons];
    for (matching, run) in matchings.iter().zip(runs) {
        for pair in &matching.pairs {
            let mean = &mut means[pair.first * neurons..][..neurons];
            for (mean, &value) in mean.iter_mut().zip(run.row(pair.second)) {
                *mean += f64::from(pair.cosine) * f64::from(value);
            }
        }
    }
    for (direction, mean) in directions.values.chunks_exact_mut(neurons).zip(means.chunks_exact(neurons)) {
        write_cut(direction, mean, kept as usize);
    }
    Ok(directions)
}

/// Writes the `kept` largest magnitudes of `mean`, scaled to unit norm, and zeros elsewhere.
fn write_cut(out: &mut [f32], mean: &[f64], kept: usize) {
    let mut order: Vec<usize> = (0..mean.len()).collect();
    order.sort_by(|&a, &b| mean[b].abs().total_cmp(&mean[a].abs()).then(a.cmp(&b)));
    order.truncate(kept);
    let norm = order.iter().map(|&neuron| mean[neuron].powi(2)).sum::<f64>().sqrt();
    out.fill(0.0);
    for neuron in order.into_iter().filter(|_| norm > 0.0) {
        out[neuron] = (mean[neuron] / norm) as f32;
    }
}

/// The features of all runs.
struct Pool {
    runs: usize,
    /// The nonzeros of each feature, scaled to unit norm, and its run.
    features: Vec<(usize, Vec<Nonzero>)>,
    /// The counterparts of each feature, itself included: run after run, in each run the one with the largest cosine first.
    counterparts: Vec<Vec<Counterpart>>,
    /// Whether a feature belongs to no cluster yet.
    free: Vec<bool>,
}

#[derive(Clone, Copy)]
struct Counterpart {
    run: usize,
    feature: usize,
    cosine: f64,
}

impl Pool {
    fn of(runs: &[DenseMatrix]) -> Self {
        let nonzeros = |row: &[f32]| -> Vec<Nonzero> {
            let norm = row.iter().map(|&z| f64::from(z).powi(2)).sum::<f64>().sqrt();
            row.iter().zip(0..).filter(|(z, _)| **z != 0.0).map(|(&z, neuron)| (neuron, f64::from(z) / norm)).collect()
        };
        let features: Vec<(usize, Vec<Nonzero>)> = runs
            .iter()
            .enumerate()
            .flat_map(|(run, features)| (0..features.rows).map(move |k| (run, nonzeros(features.row(k)))))
            .filter(|(_, nonzeros)| !nonzeros.is_empty())
            .collect();
        let mut users = vec![Vec::new(); runs[0].columns];
        for (feature, (_, nonzeros)) in features.iter().enumerate() {
            nonzeros.iter().for_each(|&(neuron, value)| users[neuron as usize].push((feature, value)));
        }
        let counterparts = features
            .par_iter()
            .map_init(
                || vec![0f64; features.len()],
                |cosines, (_, nonzeros)| {
                    cosines.fill(0.0);
                    for &(neuron, value) in nonzeros {
                        users[neuron as usize].iter().for_each(|&(other, z)| cosines[other] += value * z);
                    }
                    let near = cosines.iter().enumerate().filter(|(_, cosine)| **cosine >= COUNTERPART);
                    let mut found: Vec<Counterpart> = near
                        .map(|(feature, &cosine)| Counterpart { run: features[feature].0, feature, cosine })
                        .collect();
                    found.sort_by(|a, b| a.run.cmp(&b.run).then(b.cosine.total_cmp(&a.cosine)));
                    found
                },
            )
            .collect();
        Pool { runs: runs.len(), free: vec![true; features.len()], features, counterparts }
    }

    /// The free counterparts of a feature, the best one of each run.
    fn cluster(&self, feature: usize) -> impl Iterator<Item = &Counterpart> {
        let free = self.counterparts[feature].iter().filter(|other| self.free[other.feature]);
        let mut last = self.runs;
        free.filter(move |other| std::mem::replace(&mut last, other.run) != other.run)
    }

    /// The sum of the cosines of the cluster that a feature would form.
    fn score(&self, feature: usize) -> f64 {
        self.cluster(feature).map(|other| other.cosine).sum()
    }
}

/// A feature that may form a cluster. The largest score is the greatest. Among equal ones it is the first feature.
#[derive(PartialEq)]
struct Candidate {
    score: f64,
    feature: usize,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.feature.cmp(&self.feature))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The directions of `rank` clusters of the runs' features, [rank, neurons] with unit norm.
fn clusters(runs: &[DenseMatrix], rank: usize, neurons: usize) -> Vec<f32> {
    let mut pool = Pool::of(runs);
    let mut candidates: BinaryHeap<Candidate> =
        (0..pool.features.len()).map(|feature| Candidate { score: pool.score(feature), feature }).collect();
    let [mut common, mut copies, mut rare]: [Vec<Vec<Nonzero>>; 3] = Default::default();
    let mut mean = vec![0f64; neurons];
    while common.len() < rank {
        let Some(Candidate { score, feature }) = candidates.pop() else { break };
        let is_common = score >= COMMON * runs.len() as f64;
        if !is_common && common.len() + copies.len() + rare.len() >= rank {
            break;
        }
        if !pool.free[feature] {
            continue;
        }
        // Scores only fall, as counterparts leave the pool. So the first one that has not fallen is the best.
        let now = pool.score(feature);
        if now < score {
            candidates.push(Candidate { score: now, feature });
            continue;
        }
        mean.fill(0.0);
        let members: Vec<Counterpart> = pool.cluster(feature).copied().collect();
        for member in &members {
            pool.free[member.feature] = false;
            for &(neuron, value) in &pool.features[member.feature].1 {
                mean[neuron as usize] += member.cosine * value;
            }
        }
        let norm = mean.iter().map(|value| value * value).sum::<f64>().sqrt();
        mean.iter_mut().for_each(|value| *value /= norm);
        let cosine = |other: &Vec<Nonzero>| other.iter().map(|&(neuron, z)| z * mean[neuron as usize]).sum::<f64>();
        let is_copy = common.iter().chain(&rare).any(|other| cosine(other) >= SAME);
        let list = if is_copy {
            &mut copies
        } else if is_common {
            &mut common
        } else {
            &mut rare
        };
        list.push(mean.iter().zip(0..).filter(|(z, _)| **z != 0.0).map(|(&z, neuron)| (neuron, z)).collect());
    }
    let mut values = vec![0f32; rank * neurons];
    for (row, nonzeros) in values.chunks_exact_mut(neurons).zip(common.iter().chain(&copies).chain(&rare)) {
        nonzeros.iter().for_each(|&(neuron, value)| row[neuron as usize] = value as f32);
    }
    values
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
        let agreed = agreed_features(&runs, 7).expect("features");
        let first = DenseMatrix { rows: 6, columns: NEURONS, values: agreed.values[..6 * NEURONS].to_vec() };
        let found = match_features(&first, &truth).expect("a matching");
        assert_eq!(found.at_least(0.97), 6);
        let agreement = Agreement::on(&agreed, &runs).expect("an agreement");
        assert_eq!(agreement.found_in[..6], [8; 6]);
        assert!(agreement.reproducibility[..6].iter().all(|&mean| mean > 0.9 && mean <= 1.0));
        assert!(agreement.reproducibility[6..].iter().all(|&mean| (0.0..0.7).contains(&mean)));
        for k in 0..10 {
            assert!((norm(agreed.row(k)) - 1.0).abs() < 1e-6);
            assert!(agreed.row(k).iter().filter(|z| **z != 0.0).count() <= 7);
        }
    }

    #[test]
    fn the_order_of_the_runs_changes_nothing_but_roundings() {
        let (_, mut runs) = runs(2, 7, 12, 8, 9);
        let agreed = agreed_features(&runs, 9).expect("features");
        let agreement = stability(&runs).expect("a stability");
        assert!(agreement > 0.4 && agreement < 1.0, "{agreement}");
        for seed in 0..5 {
            runs.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
            let other = agreed_features(&runs, 9).expect("features");
            let found = match_features(&agreed, &other).expect("a matching");
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
        let agreed = agreed_features(&runs, 9).expect("features");
        let cosines = crate::feature_cosines(&agreed, &agreed).expect("cosines");
        let copies = (0..6).flat_map(|k| (0..k).map(move |l| (k, l))).filter(|&(k, l)| cosines.row(k)[l] > 0.9).count();
        assert!(copies <= 1, "{copies} copies");
    }

    #[test]
    fn runs_of_zeros_agree_on_zeros_and_a_single_feature_is_no_problem() {
        let zeros = vec![DenseMatrix { rows: 3, columns: 4, values: vec![0.0; 12] }; 2];
        let agreed = agreed_features(&zeros, 2).expect("features");
        assert_eq!(agreed.values, [0.0; 12]);
        let agreement = Agreement::on(&agreed, &zeros).expect("an agreement");
        assert_eq!((agreement.reproducibility, agreement.found_in), (vec![0.0; 3], vec![0; 3]));
        let one = |sign: f32| DenseMatrix { rows: 1, columns: 3, values: vec![sign, 0.0, sign * 2.0] };
        let agreed = agreed_features(&[one(1.0), one(1.0)], 1).expect("features");
        assert_eq!(agreed.values, [0.0, 0.0, 1.0]);
        // Opposite features are two features, and there is room for one.
        let agreed = agreed_features(&[one(1.0), one(-1.0)], 2).expect("features");
        assert_eq!(stability(&[one(1.0), one(-1.0)]).expect("a stability"), 0.0);
        assert!((norm(agreed.row(0)) - 1.0).abs() < 1e-6);
    }
}
