//! A second fit beside the first: its features, matched one to one with those of the first.

use unmix::Matching;
use unmix_data::FitRecord;

use super::assemble::words;
use super::passages::{Passages, Seen, largest};
use super::{Beside, BesideFeature, BesidePair};
use crate::fit_error::FitError;
use crate::links::Measure;
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
    pub measure: Measure,
}

/// Matches the features of two fits by what is meaningful for them: [`Measure::between`]. Nothing if the fits have
/// neither neurons nor tokens in common.
///
/// # Errors
/// If a value is not finite.
pub fn match_fits(first: &FitRecord, second: &FitRecord) -> Result<Option<MatchedFit>, FitError> {
    let measure = Measure::between(first, second);
    measure.map(|measure| Ok(MatchedFit { matching: measure.matching(first, second)?, measure })).transpose()
}

/// The other fit as the page shows it, with contexts cut as `passages` are.
pub(super) fn beside(parts: &BesideParts<'_>, passages: &Passages<'_>) -> Beside {
    let (fit, summary) = (parts.fit, &parts.fit.run.summary);
    let MatchedFit { matching, measure } = parts.matched;
    let passages = Passages {
        text: parts.text,
        prompt_ids: fit.columns.prompt_ids.as_deref(),
        labels: None,
        most: CONTEXTS,
        ..*passages
    };
    let strongest = strongest_tokens(&fit.coefficients, super::assemble::WORDS * TOKENS_A_WORD);
    let features = strongest.iter().enumerate().map(|(k, tokens)| {
        let coefficients =
            |rows: std::ops::Range<usize>| rows.map(|row| fit.coefficients.row(row)[k]).collect::<Vec<f32>>();
        BesideFeature {
            number: k,
            words: words(tokens, parts.text),
            active_share: summary.feature_statistics[k].active_share,
            max_coefficient: summary.feature_statistics[k].max_coefficient.into(),
            contexts: passages
                .unseen(tokens, &mut Seen::default())
                .iter()
                .map(|passage| passages.context(passage, largest(tokens), coefficients))
                .collect(),
        }
    });
    Beside {
        title: parts.title.to_owned(),
        rank: fit.features.rows as u64,
        relative_error: summary.relative_error,
        by: *measure,
        same_from: measure.same_from().into(),
        stability: matching.stability(),
        pairs: matching
            .pairs
            .iter()
            .map(|pair| BesidePair { feature: pair.first, other: pair.second, likeness: pair.cosine.into() })
            .collect(),
        features: features.collect(),
    }
}
