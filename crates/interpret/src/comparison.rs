//! How the features of two fits match, and what chance would give.

use serde::Serialize;
use unmix::{MatchedPair, Matching};
use unmix_data::FitRecord;

use crate::links::{Measure, common_coefficients};
use crate::{
    Contexts, FitError, NamedWord, Text, contexts, in_reading_order, match_by_chance, match_correlations_by_chance,
    named_words,
};

/// Shuffles that show what chance gives. Each has as many pairs as the matching itself.
const SHUFFLES: usize = 3;
/// With fewer features, a shuffle has so little to shuffle that chance may reach whatever is found.
const LEAST_FEATURES: usize = 8;
/// Strongest words of a feature that are looked at.
const WORDS: usize = 10;

/// The features of two fits, matched one to one.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// By what features are compared.
    pub measure: Measure,
    /// Pairs of features of the first fit and of the second.
    pub matching: Matching,
    chance: Vec<Matching>,
}

/// The words at which each feature of a fit is strongest.
#[derive(Clone, Debug)]
pub struct FitWords {
    /// The text of the fit's tokens, in reading order.
    pub text: Text,
    /// Where each feature is strongest.
    pub of_features: Vec<Contexts>,
}

/// A comparison as data for programs.
#[derive(Clone, Debug, Serialize)]
pub struct ComparisonSummary {
    /// Error of the second fit.
    pub relative_error: f64,
    /// The most pairs that there could be.
    pub possible: usize,
    /// Mean similarity over the possible pairs.
    pub stability: f64,
    /// Median similarity over the possible pairs.
    pub median: f64,
    /// `cosine` or `correlation`.
    pub compared_by: &'static str,
    /// Number of features that were found again.
    pub found_again: usize,
    /// From this similarity on, a feature counts as found again.
    pub found_again_from: f32,
    /// What chance gives.
    pub chance: ChanceSummary,
    /// Pairs, most similar first.
    pub pairs: Vec<PairSummary>,
    /// Features of the first fit without a counterpart.
    pub unmatched_first: Vec<usize>,
    /// Features of the second fit without a counterpart.
    pub unmatched_second: Vec<usize>,
}

/// Figures of a comparison on the mean of the shuffles.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ChanceSummary {
    /// Mean similarity.
    pub stability: f64,
    /// Median similarity.
    pub median: f64,
    /// Number of features that were found again.
    pub found_again: f64,
}

/// Two features that match.
#[derive(Clone, Debug, Serialize)]
pub struct PairSummary {
    /// Feature of the first fit.
    pub first: usize,
    /// Feature of the second fit.
    pub second: usize,
    /// Their cosine, if they are compared by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cosine: Option<f32>,
    /// Their correlation, if they are compared by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<f32>,
    /// The words of the first, if they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_words: Option<Vec<NamedWord>>,
    /// The words of the second, if they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_words: Option<Vec<NamedWord>>,
}

impl FitWords {
    /// The words of a fit's features. `text` is that of its tokens in reading order.
    pub fn of(fit: &FitRecord, text: Text) -> FitWords {
        let of_features = contexts(&in_reading_order(fit).coefficients, &text, WORDS);
        FitWords { text, of_features }
    }

    /// The words of each feature, at most `most` of each.
    pub fn words(&self, most: usize) -> Vec<Vec<String>> {
        let of_feature = |found: &Contexts| {
            found.spellings.iter().take(most).map(|spelling| self.text.name(spelling.word.clone())).collect()
        };
        self.of_features.iter().map(of_feature).collect()
    }

    fn of_feature(&self, feature: usize) -> Vec<NamedWord> {
        named_words(&self.of_features[feature], &self.text)
    }
}

impl Comparison {
    /// Compares two fits by a measure.
    ///
    /// # Errors
    /// If the fits do not have in common what the measure needs.
    pub fn of(first: &FitRecord, second: &FitRecord, measure: Measure) -> Result<Comparison, FitError> {
        let matching = measure.matching(first, second)?;
        let chance = match measure {
            Measure::Cosine => match_by_chance(&first.features, &second.features, SHUFFLES, 0)?,
            Measure::Correlation => {
                let common = common_coefficients(first, second);
                common.map_or_else(Vec::new, |(a, b)| match_correlations_by_chance(&a, &b, SHUFFLES, 0))
            }
        };
        Ok(Comparison { measure, matching, chance })
    }

    /// From this similarity on, a feature counts as found again.
    pub fn found_from(&self) -> f32 {
        self.measure.same_from()
    }

    /// Number of features that were found again.
    pub fn found_again(&self) -> usize {
        self.matching.at_least(self.found_from())
    }

    /// The mean of a figure over the shuffles.
    pub fn by_chance(&self, figure: impl Fn(&Matching) -> f64) -> f64 {
        self.chance.iter().map(figure).sum::<f64>() / self.chance.len().max(1) as f64
    }

    /// The same for the number of features that were found again.
    pub fn found_again_by_chance(&self) -> f64 {
        self.by_chance(|matching| matching.at_least(self.found_from()) as f64)
    }

    /// What the figures mean, in a sentence.
    pub fn verdict(&self) -> &'static str {
        let (possible, found) = (self.matching.possible, self.found_again() as f64);
        if possible == 0 {
            return "There is nothing to match, since one of the fits has no feature that is not zero.";
        }
        let (mean, chance) = (self.matching.stability(), self.by_chance(Matching::stability));
        let share = found / possible as f64;
        if possible >= LEAST_FEATURES && found <= self.found_again_by_chance() && mean <= chance {
            "That is no more than chance."
        } else if share >= 0.75 {
            "Most features do not depend on what differs between the fits."
        } else if share >= 0.25 {
            "The features that were found again do not depend on what differs between the fits; the others may."
        } else {
            "Most features depend on what differs between the fits, so read no single fit as the only answer."
        }
    }

    /// The comparison as data. `words` are those of both fits, if they are known.
    pub fn summary(&self, second: &FitRecord, words: Option<[&FitWords; 2]>) -> ComparisonSummary {
        let matching = &self.matching;
        let pair = |pair: &MatchedPair| PairSummary {
            first: pair.first,
            second: pair.second,
            cosine: (self.measure == Measure::Cosine).then_some(pair.cosine),
            correlation: (self.measure == Measure::Correlation).then_some(pair.cosine),
            first_words: words.map(|[first, _]| first.of_feature(pair.first)),
            second_words: words.map(|[_, second]| second.of_feature(pair.second)),
        };
        ComparisonSummary {
            relative_error: second.run.summary.relative_error,
            possible: matching.possible,
            stability: matching.stability(),
            median: matching.median(),
            compared_by: self.measure.name(),
            found_again: self.found_again(),
            found_again_from: self.found_from(),
            chance: ChanceSummary {
                stability: self.by_chance(Matching::stability),
                median: self.by_chance(Matching::median),
                found_again: self.found_again_by_chance(),
            },
            pairs: matching.pairs.iter().map(pair).collect(),
            unmatched_first: matching.unmatched_first.clone(),
            unmatched_second: matching.unmatched_second.clone(),
        }
    }
}
