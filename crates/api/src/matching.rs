//! Which features of two fits are the same.

use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;
use serde::Serialize;

use crate::feature_cosines::feature_cosines;
use crate::sparse_features::{SparseFeatures, norm};
use crate::{DenseMatrix, Error};

/// A feature and its counterpart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MatchedPair {
    /// Feature of the first fit.
    pub first: usize,
    /// Feature of the second fit.
    pub second: usize,
    /// Their cosine, above 0. If they were matched by other [similarities](match_similarities), it is that similarity.
    pub cosine: f32,
}

/// The features of two fits, matched one to one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Matching {
    /// Pairs whose cosine is above 0, most similar first.
    pub pairs: Vec<MatchedPair>,
    /// Features of the first fit without a counterpart.
    pub unmatched_first: Vec<usize>,
    /// Features of the second fit without a counterpart.
    pub unmatched_second: Vec<usize>,
    /// The most pairs that there could be: the number of features that are not zero, in the fit that has fewer of them.
    pub possible: usize,
}

impl Matching {
    /// Mean cosine over the possible pairs, 0 to 1. It says how stable features are from fit to fit. A feature without
    /// a counterpart counts as 0.
    pub fn stability(&self) -> f64 {
        // The sum of no numbers is -0.0, and adding 0.0 makes it 0.0.
        let sum: f64 = 0.0 + self.pairs.iter().map(|pair| f64::from(pair.cosine)).sum::<f64>();
        if self.possible == 0 { 0.0 } else { sum / self.possible as f64 }
    }

    /// Median cosine over the possible pairs. For an even number of pairs, it is the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        // Pairs are sorted. Pairs that do not exist come last and count as 0.
        let cosine = |at: usize| self.pairs.get(at).map_or(0.0, |pair| f64::from(pair.cosine));
        let middle = self.possible / 2;
        match self.possible {
            0 => 0.0,
            odd if odd % 2 == 1 => cosine(middle),
            _ => (cosine(middle - 1) + cosine(middle)) / 2.0,
        }
    }

    /// Number of pairs whose cosine is at least `cosine`.
    pub fn at_least(&self, cosine: f32) -> usize {
        self.pairs.iter().filter(|pair| pair.cosine >= cosine).count()
    }
}

/// The one-to-one matching of the features `first` [A, d] and `second` [B, d] with the largest sum of cosines above 0.
/// Coefficients are never negative, so the negative of a feature is another feature. Features whose cosine is 0 or less
/// have no counterpart.
///
/// # Errors
/// As [`feature_cosines`].
pub fn match_features(first: &DenseMatrix, second: &DenseMatrix) -> Result<Matching, Error> {
    let possible = living(first).count().min(living(second).count());
    Ok(Matching { possible, ..match_similarities(&feature_cosines(first, second)?) })
}

/// As [`match_features`], for features of unit norm over the same neurons.
pub(crate) fn match_unit_features(first: &SparseFeatures, second: &SparseFeatures) -> Matching {
    let possible = first.living().min(second.living());
    Matching { possible, ..match_similarities(&first.cosines(second)) }
}

/// The one-to-one matching of the rows of `similarities` [A, B] with its columns that has the largest sum of
/// similarities above 0. This is the assignment problem, solved by the Hungarian algorithm. `possible` is the smaller
/// number of rows and columns.
pub fn match_similarities(similarities: &DenseMatrix) -> Matching {
    let (rows, columns) = (similarities.rows, similarities.columns);
    // The algorithm needs at least as many columns as rows.
    let is_turned = rows > columns;
    let similarity = |short: usize, long: usize| match is_turned {
        true => similarities.row(long)[short],
        false => similarities.row(short)[long],
    };
    let counterparts = if rows == 0 || columns == 0 {
        Vec::new()
    } else {
        // Whole numbers have a total order. Nine digits are more than f32 holds.
        let weights = Matrix::from_fn(rows.min(columns), rows.max(columns), |(short, long)| {
            (f64::from(similarity(short, long).max(0.0)) * 1e9).round() as i64
        });
        kuhn_munkres(&weights).1
    };
    let (mut taken_first, mut taken_second) = (vec![false; rows], vec![false; columns]);
    let mut pairs: Vec<MatchedPair> = counterparts
        .into_iter()
        .enumerate()
        .map(|(short, long)| {
            let (first, second) = if is_turned { (long, short) } else { (short, long) };
            MatchedPair { first, second, cosine: similarity(short, long) }
        })
        .filter(|pair| pair.cosine > 0.0)
        .inspect(|pair| (taken_first[pair.first], taken_second[pair.second]) = (true, true))
        .collect();
    pairs.sort_by(|a, b| b.cosine.total_cmp(&a.cosine).then(a.first.cmp(&b.first)));
    let free = |taken: &[bool]| (0..taken.len()).filter(|&k| !taken[k]).collect();
    Matching {
        pairs,
        unmatched_first: free(&taken_first),
        unmatched_second: free(&taken_second),
        possible: rows.min(columns),
    }
}

/// The features that are not zero.
fn living(features: &DenseMatrix) -> impl Iterator<Item = usize> {
    (0..features.rows).filter(|&k| norm(features.row(k)) > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(rows: &[&[f32]]) -> DenseMatrix {
        DenseMatrix { rows: rows.len(), columns: 3, values: rows.concat() }
    }

    fn matched(first: &DenseMatrix, second: &DenseMatrix) -> Matching {
        match_features(first, second).expect("over the same neurons")
    }

    #[test]
    fn features_over_other_neurons_are_an_error() {
        let other = DenseMatrix { rows: 2, columns: 4, values: vec![1.0; 8] };
        let three = features(&[&[1.0f32, 0.0, 0.0][..]; 3]);
        assert!(match_features(&three, &other).is_err() && match_features(&other, &three).is_err());
    }

    #[test]
    fn the_best_matching_is_found_where_the_greedy_one_is_not_best() {
        // A greedy matching would give the first its nearest, (1, 0.9, 0), and leave the second with nothing.
        let first = features(&[&[1.0, 1.0, 0.0], &[1.0, 0.5, 0.0]]);
        let second = features(&[&[1.0, 0.9, 0.0], &[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0]]);
        let found = matched(&first, &second);
        let mut pairs: Vec<_> = found.pairs.iter().map(|p| (p.first, p.second)).collect();
        pairs.sort_unstable();
        assert_eq!(pairs, [(0, 1), (1, 0)]);
        assert_eq!(found.unmatched_second, [2]);
        let turned = matched(&second, &first);
        assert!((turned.stability() - found.stability()).abs() < 1e-9);
        assert_eq!(turned.unmatched_first, [2]);
    }

    #[test]
    fn a_permuted_and_scaled_fit_is_the_same_fit() {
        let first = features(&[&[1.0, 0.0, -2.0], &[0.0, 3.0, 1.0], &[0.5, 0.5, 0.0]]);
        let second = features(&[&[1.0, 1.0, 0.0], &[5.0, 0.0, -10.0], &[0.0, 0.3, 0.1]]);
        let found = matched(&first, &second);
        assert!((found.stability() - 1.0).abs() < 1e-6 && (found.median() - 1.0).abs() < 1e-6);
        assert_eq!(found.at_least(0.999), 3);
    }

    #[test]
    fn the_negative_of_a_feature_is_not_its_counterpart() {
        let first = features(&[&[1.0, 0.0, 0.0], &[0.0, 1.0, 0.0]]);
        let second = features(&[&[-1.0, 0.0, 0.0], &[0.0, 1.0, 0.1]]);
        let found = matched(&first, &second);
        assert_eq!(found.pairs.iter().map(|p| (p.first, p.second)).collect::<Vec<_>>(), [(1, 1)]);
        assert_eq!((found.unmatched_first, found.unmatched_second), (vec![0], vec![0]));
        // A weak counterpart is better than an opposite one.
        let second = features(&[&[-1.0, 0.0, 0.0], &[0.1, 1.0, 0.0]]);
        let found = matched(&features(&[&[1.0, 0.0, 0.0]]), &second);
        assert_eq!((found.pairs[0].second, found.possible), (1, 1));
        assert!(found.pairs[0].cosine > 0.0);
    }

    #[test]
    fn what_has_no_counterpart_counts_as_zero_and_zero_features_do_not_count() {
        let first = features(&[&[1.0, 0.0, 0.0], &[0.0, 1.0, 0.0], &[0.0, 0.0, 0.0]]);
        let second = features(&[&[2.0, 0.0, 0.0], &[0.0, 0.0, 1.0], &[0.0, -1.0, 0.0]]);
        let found = matched(&first, &second);
        assert_eq!((found.pairs.len(), found.possible), (1, 2));
        assert_eq!((found.stability(), found.median()), (0.5, 0.5));
    }

    #[test]
    fn fits_without_features_match_nothing() {
        let none = features(&[]);
        assert_eq!((matched(&none, &none).stability(), matched(&none, &none).median()), (0.0, 0.0));
        assert_eq!(matched(&none, &features(&[&[1.0, 0.0, 0.0]])).unmatched_second, [0]);
    }
}
