//! Clusters of features that several runs have in common.
//!
//! The feature with the best counterparts in the other runs, together with these counterparts, becomes the first cluster. The next cluster is
//! formed in the same way from the features that are left. So no run decides which features there are. The direction of a cluster is the mean
//! of its features, weighted by their cosines.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::DenseMatrix;
use crate::pool::{Counterpart, Nonzero, Pool};

/// A cluster whose direction has this cosine with that of an earlier cluster is a copy of it. Copies come after all other clusters.
const SAME: f64 = 0.9;

/// The directions of the clusters of some runs, [rank, neurons] with unit norm and at most `kept` nonzeros in a row. `is_in` says which runs
/// of the pool these are. If they have too few features, the last rows are zeros.
pub(crate) fn directions(
    pool: &Pool,
    counterparts: &[Vec<Counterpart>],
    is_in: &[bool],
    rank: usize,
    kept: usize,
) -> DenseMatrix {
    let mut free = Free { counterparts, is_free: pool.features.iter().map(|(run, _)| is_in[*run as usize]).collect() };
    let mut candidates: BinaryHeap<Candidate> = (0..pool.features.len() as u32)
        .filter(|&feature| free.is_free[feature as usize])
        .map(|feature| Candidate { score: free.score(feature), feature })
        .collect();
    let [mut distinct, mut copies]: [Vec<Vec<Nonzero>>; 2] = Default::default();
    let mut mean = vec![0f64; pool.neurons];
    while distinct.len() < rank {
        let Some(Candidate { score, feature }) = candidates.pop() else { break };
        if !free.is_free[feature as usize] {
            continue;
        }
        // Scores only fall, as counterparts are taken. So the first one that has not fallen is the best.
        let now = free.score(feature);
        if now < score {
            candidates.push(Candidate { score: now, feature });
            continue;
        }
        mean.fill(0.0);
        let members: Vec<Counterpart> = free.cluster(feature).copied().collect();
        for member in &members {
            free.is_free[member.feature as usize] = false;
            for &(neuron, value) in &pool.features[member.feature as usize].1 {
                mean[neuron as usize] += member.cosine * value;
            }
        }
        let norm = mean.iter().map(|value| value * value).sum::<f64>().sqrt();
        mean.iter_mut().for_each(|value| *value /= norm);
        let cosine = |other: &Vec<Nonzero>| other.iter().map(|&(neuron, z)| z * mean[neuron as usize]).sum::<f64>();
        let list = if distinct.iter().any(|other| cosine(other) >= SAME) { &mut copies } else { &mut distinct };
        list.push((0..).zip(&mean).filter(|(_, z)| **z != 0.0).map(|(neuron, &z)| (neuron, z)).collect());
    }
    let mut directions = DenseMatrix { rows: rank, columns: pool.neurons, values: vec![0.0; rank * pool.neurons] };
    let found = distinct.into_iter().chain(copies);
    for (row, nonzeros) in directions.values.chunks_exact_mut(pool.neurons.max(1)).zip(found) {
        write_cut(row, nonzeros, kept);
    }
    directions
}

/// Writes the `kept` values of largest magnitude, scaled to unit norm, and zeros elsewhere.
pub(crate) fn write_cut(row: &mut [f32], mut nonzeros: Vec<Nonzero>, kept: usize) {
    nonzeros.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
    nonzeros.truncate(kept);
    let norm = nonzeros.iter().map(|(_, z)| z * z).sum::<f64>().sqrt();
    row.fill(0.0);
    for (neuron, z) in nonzeros.into_iter().filter(|_| norm > 0.0) {
        row[neuron as usize] = (z / norm) as f32;
    }
}

/// The features that belong to no cluster yet.
struct Free<'a> {
    /// Of each feature of the pool.
    counterparts: &'a [Vec<Counterpart>],
    is_free: Vec<bool>,
}

impl Free<'_> {
    /// The free counterparts of a feature, the best one of each run.
    fn cluster(&self, feature: u32) -> impl Iterator<Item = &Counterpart> {
        let free = self.counterparts[feature as usize].iter().filter(|other| self.is_free[other.feature as usize]);
        let mut last = None;
        free.filter(move |other| last.replace(other.run) != Some(other.run))
    }

    /// The sum of the cosines of the cluster that a feature would form.
    fn score(&self, feature: u32) -> f64 {
        self.cluster(feature).map(|other| other.cosine).sum()
    }
}

/// A feature that may form a cluster. The largest score is the greatest. Among equal ones it is the first feature.
#[derive(PartialEq)]
struct Candidate {
    score: f64,
    feature: u32,
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
