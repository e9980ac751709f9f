//! Which tokens use the features, and how much of the whole a few of them hold.

use std::collections::HashMap;

use rayon::prelude::*;
use serde::Serialize;
use unmix::{DenseMatrix, FeatureStatistics};

/// A feature stands for a token if at least this share of the energy of its coefficients is on that token.
pub const TOKEN_SHARE: f64 = 0.9;
/// A token is an outlier if its norm is more than this many times the median norm of the tokens that use a feature.
pub const OUTLIER_TOKEN_NORM: f64 = 10.0;

/// A feature that stands for one token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TokenIdentity {
    /// The feature.
    pub feature: usize,
    /// The token's id.
    pub token_id: i64,
    /// Row at which the feature is strongest.
    pub row: usize,
    /// Share of Σ yᵢₖ² that is on that token.
    pub share: f64,
}

/// How the features' energy is spread over the tokens. The energy of a token is Σₖ yᵢₖ²‖zₖ‖²: the energy of its parts
/// in the reconstruction, without what the parts have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct TokenEnergy {
    /// Share of the tokens that use no feature.
    pub unused_share: f64,
    /// Tokens whose norm (the root of their energy) is more than [`OUTLIER_TOKEN_NORM`] times the median norm of the
    /// tokens that use a feature.
    pub outliers: usize,
    /// Share of all energy that these outliers hold.
    pub outlier_share: f64,
}

impl TokenEnergy {
    /// The spread for the coefficients Y [n, K], with the features' statistics.
    pub(super) fn of(coefficients: &DenseMatrix, statistics: &[FeatureStatistics]) -> TokenEnergy {
        let squared: Vec<f64> = statistics.iter().map(|s| s.norm.powi(2)).collect();
        let mut energies: Vec<f64> = coefficients
            .values
            .par_chunks(coefficients.columns.max(1))
            .map(|row| row.iter().zip(&squared).map(|(&y, norm)| f64::from(y).powi(2) * norm).sum::<f64>())
            .filter(|&energy| energy > 0.0)
            .collect();
        if energies.is_empty() {
            return TokenEnergy { unused_share: 1.0, ..TokenEnergy::default() };
        }
        let middle = energies.len() / 2;
        let median = *energies.select_nth_unstable_by(middle, f64::total_cmp).1;
        let total: f64 = energies.iter().sum();
        let outliers: Vec<f64> =
            energies.iter().copied().filter(|&energy| energy > OUTLIER_TOKEN_NORM.powi(2) * median).collect();
        TokenEnergy {
            unused_share: 1.0 - energies.len() as f64 / coefficients.rows as f64,
            outliers: outliers.len(),
            outlier_share: outliers.iter().sum::<f64>() / total,
        }
    }
}

/// The features that stand for one token, given the ids of the n tokens.
pub(super) fn token_identity(coefficients: &DenseMatrix, token_ids: &[i64]) -> Vec<TokenIdentity> {
    /// The energy on a token, and the row where it is strongest.
    #[derive(Clone, Copy)]
    struct Seen {
        energy: f64,
        row: usize,
        coefficient: f32,
    }
    let of_feature = |feature: usize| {
        let mut tokens: HashMap<i64, Seen> = HashMap::new();
        for (row, &token_id) in token_ids.iter().enumerate() {
            let coefficient = coefficients.row(row)[feature];
            if coefficient > 0.0 {
                let seen = tokens.entry(token_id).or_insert(Seen { energy: 0.0, row, coefficient });
                seen.energy += f64::from(coefficient).powi(2);
                if coefficient > seen.coefficient {
                    (seen.row, seen.coefficient) = (row, coefficient);
                }
            }
        }
        let total: f64 = tokens.values().map(|seen| seen.energy).sum();
        let (&token_id, seen) = tokens.iter().max_by(|a, b| a.1.energy.total_cmp(&b.1.energy).then(b.0.cmp(a.0)))?;
        let share = seen.energy / total;
        (share >= TOKEN_SHARE).then_some(TokenIdentity { feature, token_id, row: seen.row, share })
    };
    (0..coefficients.columns).into_par_iter().filter_map(of_feature).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_tokens_of_large_norm_are_told_from_the_rest() {
        let statistics = vec![FeatureStatistics { norm: 2.0, ..Default::default() }; 2];
        // 100 tokens: four of them are 50 times as large as the others, and ten use nothing.
        let value = |at: usize| match at / 2 {
            token if token < 4 => 50.0,
            token if token < 14 => 0.0,
            _ => 1.0,
        };
        let y = DenseMatrix { rows: 100, columns: 2, values: (0..200).map(value).collect() };
        let found = TokenEnergy::of(&y, &statistics);
        assert_eq!(found.outliers, 4);
        assert!((found.unused_share - 0.1).abs() < 1e-12);
        assert!((found.outlier_share - 10_000.0 / 10_086.0).abs() < 1e-9, "{found:?}");
        let even = DenseMatrix { values: vec![1.0; 200], ..y };
        assert_eq!(TokenEnergy::of(&even, &statistics), TokenEnergy::default());
        let none = DenseMatrix { values: vec![0.0; 200], ..even };
        assert_eq!(TokenEnergy::of(&none, &statistics).unused_share, 1.0);
    }

    #[test]
    fn a_feature_of_one_token_is_told_from_one_of_many() {
        // Tokens 7 and 8 in turn. Feature 0 is active on 7 alone, apart from a trace. Feature 1 is active on both.
        let ids = [7, 8, 7, 8, 7];
        let values = vec![3.0, 1.0, 0.1, 1.0, 4.0, 1.0, 0.0, 1.0, 2.0, 1.0];
        let found = token_identity(&DenseMatrix { rows: 5, columns: 2, values }, &ids);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].feature, found[0].token_id, found[0].row), (0, 7, 2));
        assert!((found[0].share - 29.0 / 29.01).abs() < 1e-6);
    }
}
