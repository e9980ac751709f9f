//! Which features of two fits are the same.

use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;
use serde::Serialize;
use unmix::DenseMatrix;

use crate::rows::feature_cosines;

/// A feature and its counterpart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MatchedPair {
    /// Feature of the first fit.
    pub first: usize,
    /// Feature of the second fit.
    pub second: usize,
    /// Their cosine; its sign is of no matter to the matching.
    pub cosine: f32,
}

/// The features of two fits, one to one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Matching {
    /// Pairs, as many as the smaller fit has features, most similar first.
    pub pairs: Vec<MatchedPair>,
    /// Features of the first fit without a counterpart.
    pub unmatched_first: Vec<usize>,
    /// Features of the second fit without a counterpart.
    pub unmatched_second: Vec<usize>,
}

impl Matching {
    /// Mean |cosine| over the pairs, 0 to 1: how stable features are from fit to fit.
    pub fn stability(&self) -> f64 {
        let sum: f64 = self.pairs.iter().map(|pair| f64::from(pair.cosine.abs())).sum();
        if self.pairs.is_empty() { 0.0 } else { sum / self.pairs.len() as f64 }
    }

    /// Pairs whose |cosine| is at least `cosine`.
    pub fn at_least(&self, cosine: f32) -> usize {
        self.pairs.iter().filter(|pair| pair.cosine.abs() >= cosine).count()
    }
}

/// The one-to-one matching of the features `first` [A, d] and `second` [B, d] with the largest sum of |cosine| (the
/// assignment problem, by the Hungarian algorithm).
///
/// # Panics
/// If the features are not over the same neurons.
pub fn match_features(first: &DenseMatrix, second: &DenseMatrix) -> Matching {
    if first.rows > second.rows {
        let turned = match_features(second, first);
        let pairs = turned.pairs.iter().map(|p| MatchedPair { first: p.second, second: p.first, cosine: p.cosine });
        return Matching {
            pairs: pairs.collect(),
            unmatched_first: turned.unmatched_second,
            unmatched_second: turned.unmatched_first,
        };
    }
    let cosines = feature_cosines(first, second);
    if first.rows == 0 {
        let unmatched_second = (0..second.rows).collect();
        return Matching { pairs: Vec::new(), unmatched_first: Vec::new(), unmatched_second };
    }
    // Whole numbers order totally; nine digits are more than f32 holds.
    let weights =
        Matrix::from_fn(first.rows, second.rows, |(k, l)| (f64::from(cosines.row(k)[l].abs()) * 1e9).round() as i64);
    let (_, counterparts) = kuhn_munkres(&weights);
    let mut taken = vec![false; second.rows];
    let mut pairs: Vec<MatchedPair> = counterparts
        .into_iter()
        .enumerate()
        .map(|(k, l)| {
            taken[l] = true;
            MatchedPair { first: k, second: l, cosine: cosines.row(k)[l] }
        })
        .collect();
    pairs.sort_by(|a, b| b.cosine.abs().total_cmp(&a.cosine.abs()).then(a.first.cmp(&b.first)));
    let unmatched_second = (0..second.rows).filter(|&l| !taken[l]).collect();
    Matching { pairs, unmatched_first: Vec::new(), unmatched_second }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(rows: &[&[f32]]) -> DenseMatrix {
        DenseMatrix { rows: rows.len(), columns: 3, values: rows.concat() }
    }

    #[test]
    fn the_best_matching_is_found_where_the_greedy_one_is_not_best() {
        // Greedily the first would take its nearest, (1, 0.9, 0), and leave the second with nothing.
        let first = features(&[&[1.0, 1.0, 0.0], &[1.0, 0.5, 0.0]]);
        let second = features(&[&[1.0, 0.9, 0.0], &[0.0, 1.0, 0.0], &[0.0, 0.0, 1.0]]);
        let found = match_features(&first, &second);
        let mut pairs: Vec<_> = found.pairs.iter().map(|p| (p.first, p.second)).collect();
        pairs.sort_unstable();
        assert_eq!(pairs, [(0, 1), (1, 0)]);
        assert_eq!(found.unmatched_second, [2]);
        let turned = match_features(&second, &first);
        assert!((turned.stability() - found.stability()).abs() < 1e-9);
        assert_eq!(turned.unmatched_first, [2]);
    }

    #[test]
    fn a_permuted_and_flipped_fit_is_the_same_fit() {
        let first = features(&[&[1.0, 0.0, 2.0], &[0.0, 3.0, 1.0], &[0.5, 0.5, 0.0]]);
        let second = features(&[&[-1.0, -1.0, 0.0], &[5.0, 0.0, 10.0], &[0.0, 0.3, 0.1]]);
        let found = match_features(&first, &second);
        assert!((found.stability() - 1.0).abs() < 1e-6);
        assert_eq!(found.at_least(0.999), 3);
    }

    #[test]
    fn fits_without_features_match_nothing() {
        let none = features(&[]);
        assert_eq!(match_features(&none, &none).stability(), 0.0);
        assert_eq!(match_features(&none, &features(&[&[1.0, 0.0, 0.0]])).unmatched_second, [0]);
    }
}
