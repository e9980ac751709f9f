//! What a sweep tries.

use unmix::{Options, SemiNmf};

use super::grid::refinement;
use super::grid_point::GridPoint;
use super::point::SweepPoint;

/// Fits with several numbers of features, sparsities and seeds.
#[derive(Clone, Debug)]
pub struct Sweep {
    fit: SemiNmf,
    pub(super) seed: u64,
    neurons: u32,
    ranks: Vec<u32>,
    sparsities: Vec<f64>,
    pub(super) seeds: u32,
    pub(super) folds: u32,
    refinements: u32,
}

impl Sweep {
    /// A sweep whose fits have the options of `fit`, except for the rank and the seed. By default it tries the rank and
    /// the sparsity of `fit` for activations of `neurons` neurons alone, with 5 seeds and 4 folds, and up to 6 more ranks
    /// around the best.
    pub fn new(fit: SemiNmf, neurons: u32) -> Self {
        let options = fit.options(neurons);
        Sweep {
            ranks: vec![options.rank],
            sparsities: vec![options.sparsity],
            seed: options.seed,
            neurons,
            fit,
            seeds: 5,
            folds: 4,
            refinements: 6,
        }
    }

    /// The numbers of features. Repeated ones count once.
    pub fn ranks(mut self, ranks: impl IntoIterator<Item = u32>) -> Self {
        self.ranks = ranks.into_iter().collect();
        self.ranks.sort_unstable();
        self.ranks.dedup();
        self
    }

    /// The shares of the neurons that a feature keeps, each with each rank. Shares of the same number of neurons count
    /// once.
    pub fn sparsities(mut self, shares: impl IntoIterator<Item = f64>) -> Self {
        self.sparsities = shares.into_iter().collect();
        self.sparsities.sort_unstable_by(f64::total_cmp);
        let options = self.fit.options(self.neurons);
        let kept = |share: f64| Options { sparsity: share, ..options }.kept(self.neurons);
        self.sparsities.dedup_by_key(|share| kept(*share));
        self
    }

    /// Number of fits of all tokens with each rank. They have the seed of the fit's options, the next number, and so on.
    /// Their features are compared. With 1, nothing is known about stability. Default 5.
    pub fn seeds(mut self, seeds: u32) -> Self {
        self.seeds = seeds.max(1);
        self
    }

    /// Number of folds of the tokens. Each is held out once from a fit, which gives the held-out error. With less than 2,
    /// nothing is held out. Default 4.
    pub fn folds(mut self, folds: u32) -> Self {
        self.folds = folds;
        self
    }

    /// The most ranks that are tried between those that were asked for, around the best. Default 6.
    pub fn refinements(mut self, ranks: u32) -> Self {
        self.refinements = ranks;
        self
    }

    /// The fit with the most features of all, which takes the most memory.
    pub fn largest_fit(&self) -> SemiNmf {
        let largest = |share: f64, other: &f64| share.max(*other);
        let sparsity = self.sparsities.iter().fold(0.0, largest);
        self.fit.clone().rank(self.ranks.last().copied().unwrap_or(0)).sparsity(sparsity)
    }

    /// The fits of all tokens at a point, one for each seed.
    pub fn fits(&self, at: GridPoint) -> Vec<SemiNmf> {
        let of_seed = |number: u32| self.fit_at(at).seed(self.seed.wrapping_add(u64::from(number)));
        (0..self.seeds).map(of_seed).collect()
    }

    /// A fit at a point.
    pub(super) fn fit_at(&self, at: GridPoint) -> SemiNmf {
        self.fit.clone().rank(at.rank).sparsity(at.sparsity)
    }

    /// What was asked for.
    pub fn grid(&self) -> impl Iterator<Item = GridPoint> {
        self.ranks.iter().flat_map(|&rank| self.sparsities.iter().map(move |&sparsity| GridPoint { rank, sparsity }))
    }

    /// What is to be measured next, if `points` are measured: first what was asked for, then ranks around the best.
    /// `None` when everything is measured.
    pub fn next(&self, points: &[SweepPoint]) -> Option<GridPoint> {
        let is_missing = |at: &GridPoint| points.iter().all(|point| point.place() != *at);
        if let Some(missing) = self.grid().find(is_missing) {
            return Some(missing);
        }
        let added = points.iter().filter(|point| self.grid().all(|at| at != point.place())).count();
        if added < self.refinements as usize { refinement(points) } else { None }
    }

    /// The number of points that are still to be measured, at most.
    pub fn left(&self, points: &[SweepPoint]) -> usize {
        let asked = self.grid().filter(|at| points.iter().all(|point| point.place() != *at)).count();
        let added = points.iter().filter(|point| self.grid().all(|at| at != point.place())).count();
        asked + (self.refinements as usize).saturating_sub(added)
    }
}

#[cfg(test)]
mod tests {
    use super::super::recommendation::recommend;
    use super::*;

    #[test]
    fn shares_of_the_same_number_of_neurons_are_tried_once() {
        let sweep = Sweep::new(SemiNmf::new(3), 40).sparsities([0.05, 0.002, 0.001]);
        assert_eq!(sweep.grid().map(|at| at.sparsity).collect::<Vec<_>>(), [0.001, 0.05]);
    }

    #[test]
    fn ranks_are_added_around_the_best_until_its_neighbours_are_close() {
        // Stability falls off on both sides of 60, and above it the features that come back are 60.
        let measured = |rank: u32| {
            let off = (f64::from(rank) / 60.0).ln().abs();
            let held_out = if rank < 60 { 0.5 + 0.5 * off } else { 0.5 + 0.02 * off };
            let mut point = SweepPoint::example(rank, held_out, 0.96 - 0.3 * off);
            point.reproducible_features = vec![if rank < 60 { rank / 2 } else { 62 }; 5];
            point
        };
        let fit = SemiNmf::new(1).sparsity(0.05);
        let sweep = Sweep::new(fit, 200).ranks([25, 50, 100, 200, 400]);
        let (mut points, mut order) = (Vec::new(), Vec::new());
        while let Some(at) = sweep.next(&points) {
            order.push(at.rank);
            points.push(measured(at.rank));
        }
        assert_eq!(order[..6], [25, 50, 100, 200, 400, 62], "{order:?}");
        let found = recommend(&points).expect("points").rank;
        assert!((52..=68).contains(&found), "{found} of {order:?}");
        assert!(order.len() <= 11, "{order:?}");
        let closed = sweep.refinements(0);
        assert_eq!(closed.next(&points[..5]), None);
    }
}
