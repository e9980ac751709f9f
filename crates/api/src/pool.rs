//! The features of several runs, and which of them are near one another.

use rayon::prelude::*;

use crate::DenseMatrix;
use crate::feature_cosines::unit_nonzeros;

/// Features with a smaller cosine are no counterparts.
const COUNTERPART: f64 = 0.3;

/// A nonzero of a feature: its neuron and its value.
pub(crate) type Nonzero = (u32, f64);

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
    /// For each neuron: the features that have it, in their order, and their values.
    users: Vec<Vec<(u32, f64)>>,
}

impl Pool {
    /// Pools the features of runs over the same neurons.
    pub fn of(runs: &[DenseMatrix]) -> Self {
        let neurons = runs.first().map_or(0, |features| features.columns);
        let features: Vec<(u32, Vec<Nonzero>)> = (0..)
            .zip(runs)
            .flat_map(|(run, features)| (0..features.rows).map(move |k| (run, nonzeros(features.row(k)))))
            .filter(|(_, nonzeros)| !nonzeros.is_empty())
            .collect();
        let mut users = vec![Vec::new(); neurons];
        for (feature, (_, nonzeros)) in (0..).zip(&features) {
            nonzeros.iter().for_each(|&(neuron, value)| users[neuron as usize].push((feature, value)));
        }
        Pool { runs: runs.len(), neurons, features, users }
    }

    /// The counterparts of each feature in the other runs, and the feature itself: run after run, in each run the nearest first.
    pub fn counterparts(&self) -> Vec<Vec<Counterpart>> {
        let mut counterparts: Vec<Vec<Counterpart>> = self
            .features
            .par_iter()
            .enumerate()
            .map_init(Vec::new, |cosines, (number, (run, nonzeros))| {
                // A cosine belongs to both features. So each feature looks for those of later runs alone.
                let first = self.features.partition_point(|(other, _)| other <= run) as u32;
                let mut found = vec![Counterpart { run: *run, feature: number as u32, cosine: 1.0 }];
                self.near(nonzeros, first, cosines, &mut found);
                found
            })
            .collect();
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
    pub fn nearest(&self, feature: &[f32]) -> Vec<Counterpart> {
        let mut found = Vec::new();
        self.near(&nonzeros(feature), 0, &mut Vec::new(), &mut found);
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

    /// Adds the features from `first` on that are near a feature with these nonzeros, in their order. `cosines` is memory for all cosines.
    fn near(&self, nonzeros: &[Nonzero], first: u32, cosines: &mut Vec<f64>, found: &mut Vec<Counterpart>) {
        cosines.clear();
        cosines.resize(self.features.len(), 0.0);
        for &(neuron, value) in nonzeros {
            let users = &self.users[neuron as usize];
            let start = users.partition_point(|&(other, _)| other < first);
            users[start..].iter().for_each(|&(other, z)| cosines[other as usize] += value * z);
        }
        let near = (0..).zip(cosines.iter()).filter(|(_, cosine)| **cosine >= COUNTERPART);
        found.extend(near.map(|(feature, &cosine)| Counterpart {
            run: self.features[feature as usize].0,
            feature,
            cosine,
        }));
    }
}

/// The nonzeros of a feature, scaled to unit norm.
fn nonzeros(feature: &[f32]) -> Vec<Nonzero> {
    unit_nonzeros(feature).map(|(neuron, z)| (neuron as u32, z)).collect()
}
