//! A second fit beside the first: its features, matched one to one with those of the first.

use unmix::{DenseMatrix, Error, Matching, match_features};
use unmix_data::FitRecord;

use super::assemble::words;
use super::passages::Passages;
use super::{Beside, BesideFeature, BesidePair, Likeness};
use crate::rows::normalize;
use crate::{TOKENS_A_WORD, Text, strongest_tokens};

/// Most contexts of a feature of the other fit.
const CONTEXTS: usize = 5;

/// A fit to be read beside another one.
#[derive(Clone, Copy, Debug)]
pub struct BesideParts<'a> {
    /// Its title, for example the name of its folder.
    pub title: &'a str,
    /// The fit, with its tokens in reading order.
    pub fit: &'a FitRecord,
    /// The text of its tokens.
    pub text: &'a Text,
    /// How its features match those of the first fit.
    pub matched: &'a MatchedFit,
}

/// The features of two fits, matched one to one.
#[derive(Clone, Debug)]
pub struct MatchedFit {
    /// The matching. The features of the report come first.
    pub matching: Matching,
    /// What the features were matched by.
    pub by: Likeness,
}

/// Matches the features of two fits: by their cosines if both are over equally many neurons, or else by the correlations
/// of their coefficients, if both are over equally many tokens. Nothing if neither is the case.
///
/// # Errors
/// If a value is not finite.
pub fn match_fits(first: &FitRecord, second: &FitRecord) -> Result<Option<MatchedFit>, Error> {
    let matched = |matching, by| Ok(Some(MatchedFit { matching, by }));
    if first.features.columns == second.features.columns {
        return matched(match_features(&first.features, &second.features)?, Likeness::Cosine);
    }
    if first.coefficients.rows == second.coefficients.rows {
        // The cosine of two centred columns is their correlation.
        let columns = [first, second].map(|fit| centred_columns(&fit.coefficients));
        return matched(match_features(&columns[0], &columns[1])?, Likeness::Correlation);
    }
    Ok(None)
}

/// The columns of Y [n, K] as rows [K, n], each minus its mean and of unit norm. A constant column is zero.
fn centred_columns(coefficients: &DenseMatrix) -> DenseMatrix {
    let (rows, rank) = (coefficients.rows, coefficients.columns);
    let mut values = Vec::with_capacity(rows * rank);
    for k in 0..rank {
        let column = || coefficients.values.iter().skip(k).step_by(rank);
        let mean = column().map(|&y| f64::from(y)).sum::<f64>() / rows.max(1) as f64;
        let mut centred: Vec<f32> = column().map(|&y| (f64::from(y) - mean) as f32).collect();
        // What rounding leaves of a constant column does not count.
        if centred.iter().all(|y| f64::from(y.abs()) <= 1e-6 * mean.abs()) {
            centred.fill(0.0);
        }
        normalize(&mut centred);
        values.extend(centred);
    }
    DenseMatrix { rows: rank, columns: rows, values }
}

/// The other fit as the page shows it, with contexts cut as `passages` are.
pub(super) fn beside(parts: &BesideParts<'_>, passages: &Passages<'_>) -> Beside {
    let (fit, summary) = (parts.fit, &parts.fit.run.summary);
    let MatchedFit { matching, by } = parts.matched;
    let passages = Passages {
        text: parts.text,
        prompt_ids: fit.columns.prompt_ids.as_deref(),
        labels: None,
        most: CONTEXTS,
        ..*passages
    };
    let strongest = strongest_tokens(&fit.coefficients, super::assemble::WORDS * TOKENS_A_WORD);
    let features = strongest.iter().enumerate().map(|(k, tokens)| {
        let coefficients = |rows: std::ops::Range<usize>| rows.map(|row| fit.coefficients.row(row)[k]).collect();
        BesideFeature {
            number: k,
            words: words(tokens, parts.text),
            active_share: summary.feature_statistics[k].active_share,
            max_coefficient: summary.feature_statistics[k].max_coefficient.into(),
            contexts: passages.around(tokens, coefficients).into_iter().map(|passage| passage.context).collect(),
        }
    });
    Beside {
        title: parts.title.to_owned(),
        rank: fit.features.rows as u64,
        relative_error: summary.relative_error,
        by: *by,
        stability: matching.stability(),
        pairs: matching
            .pairs
            .iter()
            .map(|pair| BesidePair { feature: pair.first, other: pair.second, likeness: pair.cosine.into() })
            .collect(),
        features: features.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_the_same_shape_are_the_same_row_and_constant_ones_are_none() {
        let y = DenseMatrix {
            rows: 4,
            columns: 3,
            values: [[1.0, 30.0, 5.0], [2.0, 40.0, 5.0], [3.0, 50.0, 5.0], [1.0, 30.0, 5.0]].concat(),
        };
        let rows = centred_columns(&y);
        assert_eq!((rows.rows, rows.columns), (3, 4));
        for (a, b) in rows.row(0).iter().zip(rows.row(1)) {
            assert!((a - b).abs() < 1e-6, "{rows:?}");
        }
        assert!(rows.row(0).iter().sum::<f32>().abs() < 1e-6);
        assert_eq!(rows.row(2), [0.0; 4]);
    }
}
