//! The largest coefficients of each feature, in one pass over the matrix.

use std::cmp::Ordering;

use rayon::prelude::*;
use unmix::DenseMatrix;

/// A token at which a feature is active.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation {
    /// Row of the token.
    pub row: usize,
    /// Coefficient, above zero.
    pub coefficient: f32,
}

impl Activation {
    /// Larger coefficients come first. Of equals, the earlier row comes first.
    fn order(&self, other: &Activation) -> Ordering {
        other.coefficient.total_cmp(&self.coefficient).then(self.row.cmp(&other.row))
    }
}

/// For each feature (column), the `most` tokens with the largest coefficients above zero, largest first.
pub fn strongest_tokens(coefficients: &DenseMatrix, most: usize) -> Vec<Vec<Activation>> {
    let mut strongest = StrongestTokens::new(coefficients.columns, most);
    strongest.offer(0, &coefficients.values);
    strongest.finish()
}

/// Selects what [`strongest_tokens`] returns, from rows that come in portions.
#[derive(Clone, Debug)]
pub struct StrongestTokens {
    best: Vec<Best>,
}

impl StrongestTokens {
    /// A selection for `rank` features, of `most` tokens each.
    pub fn new(rank: usize, most: usize) -> Self {
        StrongestTokens { best: vec![Best::new(most); rank] }
    }

    /// Looks at coefficients [rows, K], whose first row has the number `first`.
    pub fn offer(&mut self, first: usize, coefficients: &[f32]) {
        const ROWS: usize = 4096;
        let rank = self.best.len();
        let merge = |mut left: Vec<Best>, right: Vec<Best>| {
            left.iter_mut().zip(right).for_each(|(left, right)| right.kept.into_iter().for_each(|a| left.offer(a)));
            left
        };
        let empty = || self.best.iter().map(|best| Best::new(best.most)).collect::<Vec<_>>();
        let found = coefficients
            .par_chunks((ROWS * rank).max(1))
            .enumerate()
            .fold(empty, |mut best, (chunk, values)| {
                for (i, row) in values.chunks_exact(rank).enumerate() {
                    for (best, &coefficient) in best.iter_mut().zip(row) {
                        best.offer(Activation { row: first + chunk * ROWS + i, coefficient });
                    }
                }
                best
            })
            .reduce(empty, merge);
        self.best = merge(std::mem::take(&mut self.best), found);
    }

    /// The tokens found, largest first.
    pub fn finish(self) -> Vec<Vec<Activation>> {
        self.best.into_iter().map(Best::finish).collect()
    }
}

/// The best tokens so far. It holds up to twice as many as wanted, and is cut down when it is full, so that most offers
/// cost a single comparison.
#[derive(Clone, Debug)]
struct Best {
    most: usize,
    kept: Vec<Activation>,
    /// What a coefficient must reach to be among the best.
    threshold: f32,
}

impl Best {
    fn new(most: usize) -> Best {
        Best { most, kept: Vec::new(), threshold: 0.0 }
    }

    fn offer(&mut self, activation: Activation) {
        // Equals are let in, because an earlier row may come later, from another core.
        if activation.coefficient > 0.0 && activation.coefficient >= self.threshold {
            self.kept.push(activation);
            if self.kept.len() >= self.most.max(8).saturating_mul(2) {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        self.kept.sort_unstable_by(Activation::order);
        self.kept.truncate(self.most);
        if self.kept.len() == self.most {
            self.threshold = self.kept.last().map_or(f32::INFINITY, |last| last.coefficient);
        }
    }

    fn finish(mut self) -> Vec<Activation> {
        self.cut();
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selection_is_that_of_a_full_sort() {
        // Many equal values, over several chunks.
        let (rows, rank) = (10_000, 3);
        let values: Vec<f32> = (0..rows * rank).map(|i| ((i * 7919) % 613) as f32 - 100.0).collect();
        let y = DenseMatrix { rows, columns: rank, values };
        for most in [0, 1, 5, 40] {
            let found = strongest_tokens(&y, most);
            for (k, found) in found.iter().enumerate() {
                let mut all: Vec<Activation> = (0..rows)
                    .map(|row| Activation { row, coefficient: y.row(row)[k] })
                    .filter(|a| a.coefficient > 0.0)
                    .collect();
                all.sort_by(Activation::order);
                all.truncate(most);
                assert_eq!(found, &all, "most {most}, feature {k}");
            }
        }
    }

    #[test]
    fn a_dead_feature_has_none() {
        let y = DenseMatrix { rows: 2, columns: 2, values: vec![0.0, 1.0, 0.0, 2.0] };
        assert_eq!(strongest_tokens(&y, 3).iter().map(Vec::len).collect::<Vec<_>>(), [0, 2]);
    }
}
