//! The features of several runs, and which of them are near one another.

use rayon::prelude::*;

use crate::sparse_features::{NeuronUsers, Nonzero, SparseFeatures};

/// Features with a smaller cosine are no counterparts.
const COUNTERPART: f64 = 0.3;
/// Features whose users of neurons are together. Those of 512 features with 140 nonzeros take 560 KiB, and stay in the second-level cache while
/// all features meet them.
const BLOCK: usize = 512;

/// A feature of a run that is near another feature.
#[derive(Clone, Copy)]
pub(crate) struct Counterpart {
    /// Number of the run.
    pub run: u32,
    /// Number of the feature in the pool.
    pub feature: u32,
    pub cosine: f64,
}

/// The features of all runs that are not zero.
pub(crate) struct Pool {
    /// Number of runs.
    pub runs: usize,
    /// Number of neurons.
    pub neurons: usize,
    /// The nonzeros of each feature, scaled to unit norm, and its run. The features of a run follow one another.
    pub features: Vec<(u32, Vec<Nonzero>)>,
    /// Of each block of features.
    users: Vec<NeuronUsers>,
}

impl Pool {
    /// Pools the features of runs over the same neurons.
    pub fn of(runs: &[SparseFeatures]) -> Self {
        let neurons = runs.first().map_or(0, |features| features.neurons);
        let of_run = |(run, features): (u32, &SparseFeatures)| -> Vec<(u32, Vec<Nonzero>)> {
            features.rows.iter().filter(|row| !row.is_empty()).map(|row| (run, row.clone())).collect()
        };
        let features: Vec<(u32, Vec<Nonzero>)> = (0..).zip(runs).flat_map(of_run).collect();
        let of_block = |block: &[(u32, Vec<Nonzero>)]| {
            NeuronUsers::of(neurons, block.iter().map(|(_, nonzeros)| nonzeros.as_slice()))
        };
        let users = features.par_chunks(BLOCK).map(of_block).collect();
        Pool { runs: runs.len(), neurons, features, users }
    }

    /// The counterparts of each feature in the other runs, and the feature itself: run after run, in each run the nearest first.
    pub fn counterparts(&self) -> Vec<Vec<Counterpart>> {
        let itself =
            |(feature, &(run, _)): (u32, &(u32, Vec<Nonzero>))| vec![Counterpart { run, feature, cosine: 1.0 }];
        let mut counterparts: Vec<Vec<Counterpart>> = (0..).zip(&self.features).map(itself).collect();
        for block in 0..self.users.len() {
            counterparts.par_iter_mut().zip(&self.features).for_each_init(
                Vec::new,
                |cosines, (found, (run, nonzeros))| {
                    // A cosine belongs to both features. So each feature looks for those of later runs alone.
                    let first = self.features.partition_point(|(other, _)| other <= run);
                    self.near(nonzeros, block, first, cosines, found);
                },
            );
        }
        for feature in 0..counterparts.len() {
            let later = counterparts[feature].iter().filter(|other| other.feature as usize > feature).copied();
            for other in later.collect::<Vec<_>>() {
                let this = Counterpart { run: self.features[feature].0, feature: feature as u32, cosine: other.cosine };
                counterparts[other.feature as usize].push(this);
            }
        }
        counterparts.par_iter_mut().for_each(|found| {
            found.sort_by(|a, b| a.run.cmp(&b.run).then(b.cosine.total_cmp(&a.cosine)).then(a.feature.cmp(&b.feature)));
        });
        counterparts
    }

    /// The feature of each run that is nearest to a feature of unit norm, if there is one.
    pub fn nearest(&self, feature: &[Nonzero]) -> Vec<Counterpart> {
        let (mut found, mut cosines) = (Vec::new(), Vec::new());
        (0..self.users.len()).for_each(|block| self.near(feature, block, 0, &mut cosines, &mut found));
        let mut nearest: Vec<Counterpart> = Vec::with_capacity(self.runs);
        for other in found {
            match nearest.last_mut().filter(|last| last.run == other.run) {
                Some(last) if last.cosine >= other.cosine => {}
                Some(last) => *last = other,
                None => nearest.push(other),
            }
        }
        nearest
    }

    /// Adds the features of a block, from `first` on, that are near a feature with these nonzeros, in their order. `cosines` is memory for cosines.
    fn near(
        &self,
        nonzeros: &[Nonzero],
        block: usize,
        first: usize,
        cosines: &mut Vec<f64>,
        found: &mut Vec<Counterpart>,
    ) {
        let begin = block * BLOCK;
        let end = self.features.len().min(begin + BLOCK);
        if first >= end {
            return;
        }
        cosines.clear();
        cosines.resize(end - begin, 0.0);
        self.users[block].add_cosines(nonzeros, first.saturating_sub(begin) as u32, cosines);
        let near = (begin..).zip(cosines.iter()).filter(|(_, cosine)| **cosine >= COUNTERPART);
        found.extend(near.map(|(feature, &cosine)| Counterpart {
            run: self.features[feature].0,
            feature: feature as u32,
            cosine,
        }));
    }
}
