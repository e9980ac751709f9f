//! Makes the content of the page from a fit and what was found out about it.

use std::collections::HashMap;
use std::ops::Range;

use unmix_data::FitRecord;

use super::beside::{BesideParts, beside};
use super::concepts::{Groups, concept_chance, concept_rows, concepts_of, subjects};
use super::feature_notes::notes;
use super::identity::identity;
use super::passages::{Passage, Passages, Seen, largest, peaks};
use super::run_card::run_card;
use super::tree::tree_levels;
use super::{
    Band, CoActive, Context, Histogram, Neighbour, NeuronWeight, Quantile, Report, ReportFeature, WordCount,
    health_notes, map_positions,
};
use crate::concepts::ConceptScores;
use crate::neurons::strongest_of;
use crate::rows::mutual_cosines;
use crate::{
    Activation, Distribution, Hierarchy, Interpreter, LensChance, LensWords, QUANTILES, StrengthBand, TOKENS_A_WORD,
    Text, active_features, coefficient_correlations, contexts_of_tokens, distributions, health, reading_order,
    strength_bands, strongest_tokens,
};

/// The parts of a report. All of them are optional, except for the fit and its text.
#[derive(Clone, Copy, Debug)]
pub struct ReportParts<'a> {
    /// Title of the page.
    pub title: &'a str,
    /// The fit.
    pub fit: &'a FitRecord,
    /// The text of its tokens.
    pub text: &'a Text,
    /// Label of each token's prompt, n of them.
    pub labels: Option<&'a [String]>,
    /// How well its features detect concepts.
    pub scores: Option<&'a ConceptScores>,
    /// The concept that each concept is a part of, by name.
    pub parents: Option<&'a HashMap<String, String>>,
    /// Promoted and suppressed tokens of each feature beyond chance, K of them, and what that takes.
    pub lens: Option<(&'a [LensWords], LensChance)>,
    /// How its features nest.
    pub tree: Option<&'a Hierarchy>,
    /// Another fit, to be read beside this one.
    pub beside: Option<BesideParts<'a>>,
    /// Most contexts that are shown for each feature where it is strongest.
    pub contexts: usize,
    /// Tokens of context on each side of the strongest token.
    pub window: usize,
}

/// Bins of the histograms.
const BINS: usize = 24;
/// Most words that stand for a feature, and most occurrences that are looked at for them.
pub(super) const WORDS: usize = 24;
/// Most similar and most co-active features that are named.
const RELATED: usize = 6;
/// Least cosine or correlation of a feature that is named.
const LEAST_RELATED: f32 = 0.1;
/// Most neurons that are shown for a feature.
const NEURONS: usize = 24;
/// Parts of a feature's range from which examples are shown.
const BANDS: usize = 4;
/// Most examples of each part, and tokens that are looked at for them.
const BAND_CONTEXTS: usize = 4;
const BAND_TOKENS: usize = 16;
/// With fewer tokens than this, the strongest contexts show all of a feature's range.
const LEAST_FOR_BANDS: u64 = 40;

/// Puts the content together. This takes some passes over the coefficients, and products of features with one another.
/// The activations are not needed.
///
/// # Panics
/// If a part does not belong to the fit: labels of another number of tokens, or scores or a lens of another number of
/// features.
pub fn assemble(parts: &ReportParts<'_>) -> Report {
    let (fit, summary) = (parts.fit, &parts.fit.run.summary);
    let rank = fit.features.rows;
    let strongest = strongest_tokens(&fit.coefficients, parts.contexts.max(WORDS).saturating_mul(TOKENS_A_WORD));
    let distributions = distributions(&fit.coefficients, BINS);
    let cosines = mutual_cosines(&fit.features);
    let correlations = coefficient_correlations(&fit.coefficients);
    let positions = map_positions(&fit.features, Some(&fit.coefficients), fit.run.seed);
    let token_ids = fit.columns.token_ids.as_deref();
    let health = health(&fit.features, &fit.coefficients, &summary.feature_statistics, token_ids);
    let passages = Passages {
        text: parts.text,
        prompt_ids: fit.columns.prompt_ids.as_deref(),
        labels: parts.labels,
        most: parts.contexts,
        window: parts.window,
    };
    let subjects = parts.labels.map(|labels| subjects(labels, parts.scores, parts.parents));
    let interpreter = Interpreter::new(parts.text, subjects.as_deref(), fit.run.seed);
    let bands = strength_bands(&fit.coefficients, BANDS, BAND_TOKENS);
    let mut groups = Groups::default();
    let mut features: Vec<ReportFeature> = (0..rank)
        .map(|k| {
            let statistics = &summary.feature_statistics[k];
            let lens = parts.lens.map_or_else(LensWords::default, |(lens, _)| lens[k].clone());
            let neurons = strongest_of(fit.features.row(k), NEURONS);
            let coefficients = |rows: Range<usize>| rows.map(|row| fit.coefficients.row(row)[k]).collect::<Vec<f32>>();
            let largest = largest(&strongest[k]);
            let mut seen = Seen::default();
            let found = passages.unseen(&strongest[k], &mut seen);
            let peaks = peaks(&found);
            let context = |passage: &Passage| passages.context(passage, largest, coefficients);
            let contexts: Vec<Context> = found.iter().map(context).collect();
            let few = Passages { most: passages.most.min(BAND_CONTEXTS), ..passages };
            let shown = |tokens: &[Activation]| few.unseen(tokens, &mut seen).iter().map(context).collect();
            let bands = shown_bands(&bands[k], shown);
            let concepts =
                parts.scores.map_or_else(Vec::new, |scores| concepts_of(k, scores, &contexts, parts.parents));
            let group = groups.of(&concepts, parts.parents);
            ReportFeature {
                number: k,
                label: None,
                words: words(&strongest[k], parts.text),
                reproducibility: statistics.reproducibility,
                found_in: statistics.found_in,
                interpretability: Some(interpreter.of(&peaks)),
                explained_share: statistics.explained_share,
                energy_share: statistics.energy_share,
                active_share: statistics.active_share,
                max_coefficient: statistics.max_coefficient.into(),
                norm: statistics.norm,
                histogram: histogram(&distributions[k]),
                quantiles: quantiles(&distributions[k]),
                contexts,
                bands,
                promoted: lens.promoted,
                suppressed: lens.suppressed,
                concepts,
                neighbours: related(cosines.row(k), k).map(|(feature, cosine)| Neighbour { feature, cosine }).collect(),
                co_active: related(correlations.row(k), k)
                    .map(|(feature, correlation)| CoActive { feature, correlation })
                    .collect(),
                neurons: neurons.iter().map(|n| NeuronWeight { neuron: n.neuron, weight: n.weight.into() }).collect(),
                notes: notes(&health, k, parts.text, &peaks),
                position: Some(positions[k]),
                group,
            }
        })
        .collect();
    let scores: Vec<f64> =
        features.iter().map(|feature| feature.interpretability.as_ref().map_or(0.0, |found| found.score)).collect();
    let mut places = vec![0; rank];
    reading_order(&summary.feature_statistics, &scores).into_iter().enumerate().for_each(|(at, k)| places[k] = at);
    features.sort_by_key(|feature| places[feature.number]);
    Report {
        title: parts.title.to_owned(),
        id: identity(&fit.features),
        run: run_card(fit),
        features,
        groups: groups.names,
        tree: parts.tree.map_or_else(Vec::new, |tree| tree_levels(tree, fit, &passages, &interpreter)),
        concepts: parts.scores.map_or_else(Vec::new, |scores| concept_rows(scores, parts.parents)),
        concept_chance: parts.scores.and_then(concept_chance),
        active_features: active_features(&fit.coefficients),
        lens_chance: parts.lens.map(|(_, chance)| chance),
        beside: parts.beside.map(|parts| beside(&parts, &passages)),
        health: health_notes(&health, summary),
    }
}

/// The bands of a feature, strongest first. None if its strongest contexts show all there is.
fn shown_bands(bands: &[StrengthBand], mut shown: impl FnMut(&[Activation]) -> Vec<Context>) -> Vec<Band> {
    if bands.iter().map(|band| band.tokens).sum::<u64>() < LEAST_FOR_BANDS {
        return Vec::new();
    }
    let filled = bands.iter().filter(|band| band.tokens > 0);
    filled
        .map(|band| {
            let mut contexts = shown(&band.examples);
            contexts.sort_by(|a, b| b.coefficient.total_cmp(&a.coefficient));
            Band { range: band.range, tokens: band.tokens, contexts }
        })
        .collect()
}

/// The different words among the strongest tokens of something.
pub(super) fn words(strongest: &[Activation], text: &Text) -> Vec<WordCount> {
    let found = contexts_of_tokens(strongest, text, WORDS);
    found.spellings.iter().map(|s| WordCount { word: text.name(s.word.clone()), count: s.count }).collect()
}

fn histogram(distribution: &Distribution) -> Option<Histogram> {
    let bins = distribution.counts.len();
    let edge = |bin: usize| f64::from(distribution.largest) * bin as f64 / bins as f64;
    (distribution.active > 0)
        .then(|| Histogram { edges: (0..=bins).map(edge).collect(), counts: distribution.counts.clone() })
}

fn quantiles(distribution: &Distribution) -> Vec<Quantile> {
    if distribution.active == 0 {
        return Vec::new();
    }
    let pairs = QUANTILES.iter().zip(distribution.quantiles);
    pairs.map(|(&probability, value)| Quantile { probability, value: value.into() }).collect()
}

/// The features most related to feature `own`, given the row of its relations to all features. Opposed features are not
/// related.
fn related(row: &[f32], own: usize) -> impl Iterator<Item = (usize, f64)> {
    let mut others: Vec<(usize, f32)> =
        row.iter().copied().enumerate().filter(|&(feature, value)| feature != own && value >= LEAST_RELATED).collect();
    others.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    others.truncate(RELATED);
    others.into_iter().map(|(feature, value)| (feature, value.into()))
}
