//! A comparison as JSON.

use serde_json::{Value, json};
use unmix::{MatchedPair, Matching};

use super::comparison::Comparison;
use super::fit::Fit;
use crate::commands::features::words_json;
use crate::output;

/// A comparison for programs.
pub fn in_json(first: &Fit<'_>, comparison: &Comparison<'_>) -> Value {
    let measure = comparison.measure;
    let words = |fit: &Fit<'_>, feature: usize| {
        fit.words.as_ref().map(|words| words_json(&words.of_features[feature], &words.text))
    };
    let pair = |pair: &MatchedPair| {
        let name = measure.name();
        let mut value = json!({"first": pair.first, "second": pair.second, name: pair.cosine});
        if first.words.is_some() {
            value["first_words"] = json!(words(first, pair.first));
            value["second_words"] = json!(words(comparison.fit, pair.second));
        }
        value
    };
    let Comparison { fit, matching, .. } = comparison;
    json!({
        "fit": output::json_path(fit.path),
        "relative_error": fit.record.run.summary.relative_error,
        "possible": matching.possible,
        "stability": matching.stability(),
        "median": matching.median(),
        "compared_by": measure.name(),
        "found_again": comparison.found_again(),
        "found_again_from": comparison.found_from(),
        "chance": {
            "stability": comparison.by_chance(Matching::stability),
            "median": comparison.by_chance(Matching::median),
            "found_again": comparison.found_again_by_chance(),
        },
        "pairs": matching.pairs.iter().map(pair).collect::<Vec<_>>(),
        "unmatched_first": matching.unmatched_first,
        "unmatched_second": matching.unmatched_second,
    })
}
