//! Clusters of features that several runs have in common.
//!
//! The feature with the best counterparts in the other runs, together with these counterparts, becomes the first cluster. The next cluster is
//! formed in the same way from the features that are left. So no run decides which features there are. The direction of a cluster is the mean
//! of its features, weighted by their cosines.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::pool::{Counterpart, Pool};
use crate::sparse_features::{Nonzero, SparseFeatures, cut};

/// A cluster whose direction has this cosine with that of an earlier cluster is a copy of it. Copies come after all other clusters.
const SAME: f64 = 0.9;

/// The directions of the clusters of some runs: `rank` features with at most `kept` nonzeros. `is_in` says which runs of the pool these are. If
/// they have too few features, the last ones are zeros.
pub(crate) fn directions(
    pool: &Pool,
    counterparts: &[Vec<Counterpart>],
    is_in: &[bool],
    rank: usize,
    kept: usize,
) -> SparseFeatures {
    let mut free = Free { counterparts, is_free: pool.features.iter().map(|(run, _)| is_in[*run as usize]).collect() };
    let mut candidates: BinaryHeap<Candidate> = (0..pool.features.len() as u32)
        .filter(|&feature| free.is_free[feature as usize])
        .map(|feature| Candidate { score: free.score(feature), feature })
        .collect();
    let [mut distinct, mut copies]: [Vec<Vec<Nonzero>>; 2] = Default::default();
    let mut mean = vec![0f64; pool.neurons];
    let mut nonzeros = Vec::with_capacity(pool.neurons);
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
        let members: Vec<Counterpart> = free.cluster(feature).copied().collect();
        for member in &members {
            free.is_free[member.feature as usize] = false;
            for &(neuron, value) in &pool.features[member.feature as usize].1 {
                mean[neuron as usize] += member.cosine * f64::from(value);
            }
        }
        nonzeros.clear();
        nonzeros.extend((0..).zip(mean.iter().copied()).filter(|(_, z)| *z != 0.0));
        let direction = cut(&mut nonzeros, kept);
        mean.fill(0.0);
        direction.iter().for_each(|&(neuron, z)| mean[neuron as usize] = z.into());
        let cosine =
            |other: &Vec<Nonzero>| other.iter().map(|&(neuron, z)| f64::from(z) * mean[neuron as usize]).sum::<f64>();
        let is_copy = distinct.iter().any(|other| cosine(other) >= SAME);
        mean.fill(0.0);
        if is_copy { &mut copies } else { &mut distinct }.push(direction);
    }
    let mut rows: Vec<Vec<Nonzero>> = distinct.into_iter().chain(copies).take(rank).collect();
    rows.resize(rank, Vec::new());
    SparseFeatures { neurons: pool.neurons, rows }
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
