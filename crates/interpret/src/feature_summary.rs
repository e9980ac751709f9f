//! What is known about each feature of a fit, as data for programs.

use std::ops::Range;

use serde::Serialize;
use unmix::FeatureStatistics;
use unmix_data::{Error, FitRecord, TokenColumns};

use crate::{Contexts, Distribution, Neuron, Occurrence, Text, contexts, distributions, stored_row, strongest_neurons};

/// How much is told about each feature.
#[derive(Clone, Copy, Debug)]
pub struct SummaryOptions {
    /// Strongest words of a feature that are looked at.
    pub contexts: usize,
    /// Most words of context on each side.
    pub words: usize,
    /// Bins of the distribution of its coefficients.
    pub bins: usize,
    /// Most neurons.
    pub neurons: usize,
}

impl Default for SummaryOptions {
    fn default() -> SummaryOptions {
        SummaryOptions { contexts: 10, words: 8, bins: 32, neurons: 20 }
    }
}

/// One feature of a fit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureSummary {
    /// Its number: the row of Z, from 0.
    pub feature: usize,
    /// Whether no token uses it.
    pub dead: bool,
    /// Its statistics.
    pub statistics: FeatureStatistics,
    /// The different words at which it is strongest, strongest first.
    pub words: Vec<NamedWord>,
    /// Where it is strongest, strongest first.
    pub contexts: Vec<WordContext>,
    /// How its coefficients are distributed.
    pub distribution: Distribution,
    /// Its strongest neurons.
    pub neurons: Vec<Neuron>,
}

/// A word of the text, and how often it is among the strongest of a feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedWord {
    /// The word as it is in the text, on one line.
    pub word: String,
    /// What to call it: the word, or the names of its characters if it is no word.
    pub name: String,
    /// How many of the occurrences have this spelling.
    pub count: usize,
}

/// A word in its context.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WordContext {
    /// Row in the files of activations of the word's most active token.
    pub row: usize,
    /// Id of that token, if known.
    pub token_id: Option<i64>,
    /// Number of its prompt, if known.
    pub prompt: Option<i64>,
    /// Its position in the prompt, if known.
    pub position: Option<i64>,
    /// Its coefficient.
    pub coefficient: f32,
    /// The coefficient times the norm of the feature.
    pub strength: f64,
    /// The text before the word.
    pub before: String,
    /// The word.
    pub word: String,
    /// The text after the word.
    pub after: String,
    /// The same text token by token, and the feature's coefficient at each token.
    pub tokens: Vec<TokenCoefficient>,
    /// Whether the prompt has more text before.
    pub cut_before: bool,
    /// Whether the prompt has more text after it.
    pub cut_after: bool,
    /// Whether a stronger context shows the same place: it is in the same prompt or, if prompts are not known, its text
    /// holds this word.
    pub repeats: bool,
}

/// A token, and how strongly it uses a feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenCoefficient {
    /// Its text, blanks included.
    pub text: String,
    /// The coefficient.
    pub coefficient: f32,
    /// Whether it belongs to the word that the context is about.
    pub in_word: bool,
}

/// What is known about these features of a fit in reading order. `text` is that of its tokens.
///
/// # Errors
/// If there is no feature of one of these numbers.
pub fn feature_summaries(
    fit: &FitRecord,
    text: &Text,
    features: &[usize],
    options: &SummaryOptions,
) -> Result<Vec<FeatureSummary>, Error> {
    let summary = &fit.run.summary;
    let found = contexts(&fit.coefficients, text, options.contexts);
    let distributions = distributions(&fit.coefficients, options.bins);
    let of = |&k: &usize| {
        let neurons = strongest_neurons(&fit.features, k, options.neurons)?;
        Ok(FeatureSummary {
            feature: k,
            dead: summary.dead_features.contains(&(k as u32)),
            statistics: summary.feature_statistics[k].clone(),
            words: named_words(&found[k], text),
            contexts: word_contexts(fit, text, k, &found[k], options.words),
            distribution: distributions[k].clone(),
            neurons,
        })
    };
    features.iter().map(of).collect()
}

/// The different words of these contexts.
pub fn named_words(found: &Contexts, text: &Text) -> Vec<NamedWord> {
    let named = |word: Range<usize>, count| NamedWord { word: text.join(word.clone()), name: text.name(word), count };
    found.spellings.iter().map(|spelling| named(spelling.word.clone(), spelling.count)).collect()
}

/// Where a feature of a fit is strongest, with at most `words` words on each side of each word.
pub fn word_contexts(fit: &FitRecord, text: &Text, feature: usize, found: &Contexts, words: usize) -> Vec<WordContext> {
    let mut shown: Vec<Range<usize>> = Vec::new();
    let context = |occurrence: &Occurrence| {
        let (context, rows) = word_context(fit, text, feature, occurrence, words);
        let repeats = shown.iter().any(|rows| rows.contains(&occurrence.row));
        shown.push(if text.knows_prompts() { text.prompt(occurrence.row) } else { rows });
        WordContext { repeats, ..context }
    };
    found.occurrences.iter().map(context).collect()
}

/// A word in its context, and the rows of the context.
fn word_context(
    fit: &FitRecord,
    text: &Text,
    feature: usize,
    found: &Occurrence,
    words: usize,
) -> (WordContext, Range<usize>) {
    let Occurrence { row, coefficient, word } = found;
    let window = text.window(word.clone(), words, |_| true);
    let TokenColumns { token_ids, prompt_ids, positions, .. } = &fit.columns;
    let entry = |column: &Option<Vec<i64>>| column.as_ref().map(|column| column[*row]);
    let rows = window.before.start..window.after.end;
    let token = |(row, text)| TokenCoefficient {
        text,
        coefficient: fit.coefficients.row(row)[feature],
        in_word: word.contains(&row),
    };
    let context = WordContext {
        row: stored_row(&fit.columns, *row),
        token_id: entry(token_ids),
        prompt: entry(prompt_ids),
        position: entry(positions),
        coefficient: *coefficient,
        strength: f64::from(*coefficient) * fit.run.summary.feature_statistics[feature].norm,
        before: text.raw(window.before),
        word: text.raw(word.clone()),
        after: text.raw(window.after),
        tokens: rows.clone().zip(text.pieces(rows.clone())).map(token).collect(),
        cut_before: window.cut.0,
        cut_after: window.cut.1,
        repeats: false,
    };
    (context, rows)
}
