//! How many features a token uses.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use unmix::DenseMatrix;

/// How many features are active at a token: the distribution over all tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ActiveFeatures {
    /// Median over the tokens.
    pub median: u64,
    /// Mean over the tokens.
    pub mean: f64,
    /// One in twenty tokens uses this many features or fewer, and one in twenty this many or more.
    pub middle: [u64; 2],
    /// How many tokens use 0, 1, 2, … features, up to the most that any token uses.
    pub tokens: Vec<u64>,
}

/// How many coefficients above zero the rows of Y [n, K] have. Nothing if there are no tokens.
pub fn active_features(coefficients: &DenseMatrix) -> Option<ActiveFeatures> {
    let rank = coefficients.columns;
    if coefficients.rows == 0 || rank == 0 {
        return None;
    }
    const ROWS: usize = 4096;
    let counted = |rows: &[f32]| {
        let mut tokens = vec![0u64; rank + 1];
        rows.chunks_exact(rank).for_each(|row| tokens[row.iter().filter(|&&y| y > 0.0).count()] += 1);
        tokens
    };
    let sum = |mut a: Vec<u64>, b: Vec<u64>| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    };
    let parts = coefficients.values.par_chunks(ROWS * rank).map(counted);
    let mut tokens = parts.reduce(|| vec![0; rank + 1], sum);
    let most = tokens.iter().rposition(|&count| count > 0).unwrap_or(0);
    tokens.truncate(most + 1);
    let all: u64 = tokens.iter().sum();
    let at = |share: f64| {
        let place = ((share * all as f64).ceil() as u64).clamp(1, all);
        let mut seen = 0;
        tokens.iter().position(|&count| (seen += count, seen >= place).1).unwrap_or(most) as u64
    };
    let mean = tokens.iter().enumerate().map(|(active, &count)| active as f64 * count as f64).sum::<f64>() / all as f64;
    Some(ActiveFeatures { median: at(0.5), mean, middle: [at(0.05), at(0.95)], tokens })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted_by_how_many_features_they_use() {
        // Token i of 10,000 uses i mod 5 of 7 features.
        let (rows, rank) = (10_000, 7);
        let value = |at: usize| if at % rank < at / rank % 5 { 0.5 } else { 0.0 };
        let y = DenseMatrix { rows, columns: rank, values: (0..rows * rank).map(value).collect() };
        let found = active_features(&y).expect("tokens");
        assert_eq!((found.median, found.middle, found.tokens), (2, [0, 4], vec![2000; 5]));
        assert!((found.mean - 2.0).abs() < 1e-12);
    }

    #[test]
    fn without_tokens_there_is_nothing_to_count() {
        assert_eq!(active_features(&DenseMatrix { rows: 0, columns: 3, values: Vec::new() }), None);
        let unused = DenseMatrix { rows: 2, columns: 1, values: vec![0.0; 2] };
        assert_eq!(active_features(&unused).map(|found| (found.median, found.tokens)), Some((0, vec![2])));
    }
}
