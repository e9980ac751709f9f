//! Makes the content of the page from a fit and what was found out about it.

use std::collections::HashMap;
use std::path::PathBuf;

use unmix_data::FitRecord;

use super::badges::{Groups, concepts_of};
use super::passages::Passages;
use super::{
    CoActive, ConceptRow, Histogram, Neighbour, NeuronWeight, Quantile, Report, ReportFeature, RunCard, TreeChild,
    TreeLevel, TreeNode, WordCount, health_notes, map_positions,
};
use crate::concepts::ConceptScores;
use crate::neurons::strongest_of;
use crate::rows::mutual_cosines;
use crate::{
    Activation, Contexts, Distribution, Health, Hierarchy, LensWords, QUANTILES, TOKENS_A_WORD, Text,
    coefficient_correlations, contexts_of_tokens, distributions, health, strongest_tokens,
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
    /// Promoted and suppressed tokens of each feature, K of them.
    pub lens: Option<&'a [LensWords]>,
    /// How its features nest.
    pub tree: Option<&'a Hierarchy>,
    /// Most contexts that are shown for each feature.
    pub contexts: usize,
    /// Tokens of context on each side of the strongest token.
    pub window: usize,
}

/// Bins of the histograms.
const BINS: usize = 24;
/// Most words that stand for a feature, and most occurrences that are looked at for them.
const WORDS: usize = 24;
/// Most similar and most co-active features that are named.
const RELATED: usize = 6;
/// Least cosine or correlation of a feature that is named.
const LEAST_RELATED: f32 = 0.1;
/// Most neurons that are shown for a feature.
const NEURONS: usize = 24;
/// Most contexts of a node of the tree.
const NODE_CONTEXTS: usize = 4;
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
    let mut groups = Groups::default();
    let features = (0..rank)
        .map(|k| {
            let statistics = &summary.feature_statistics[k];
            let lens = parts.lens.map_or_else(LensWords::default, |lens| lens[k].clone());
            let neurons = strongest_of(fit.features.row(k), NEURONS);
            let coefficient = |row: usize| fit.coefficients.row(row)[k];
            let contexts = passages.around(&strongest[k], |rows| rows.map(coefficient).collect());
            let concepts =
                parts.scores.map_or_else(Vec::new, |scores| concepts_of(k, scores, &contexts, parts.parents));
            let group = groups.of(&concepts, parts.parents);
            ReportFeature {
                number: k,
                label: None,
                words: words(&contexts_of_tokens(&strongest[k], parts.text, WORDS), parts.text),
                explained_share: statistics.explained_share,
                energy_share: statistics.energy_share,
                active_share: statistics.active_share,
                max_coefficient: statistics.max_coefficient.into(),
                norm: statistics.norm,
                histogram: histogram(&distributions[k]),
                quantiles: quantiles(&distributions[k]),
                contexts,
                promoted: lens.promoted,
                suppressed: lens.suppressed,
                concepts,
                neighbours: related(cosines.row(k), k).map(|(feature, cosine)| Neighbour { feature, cosine }).collect(),
                co_active: related(correlations.row(k), k)
                    .map(|(feature, correlation)| CoActive { feature, correlation })
                    .collect(),
                neurons: neurons.iter().map(|n| NeuronWeight { neuron: n.neuron, weight: n.weight.into() }).collect(),
                notes: notes(&health, k, parts.text),
                position: Some(positions[k]),
                group,
            }
        })
        .collect();
    Report {
        title: parts.title.to_owned(),
        run: run_card(fit),
        features,
        groups: groups.names,
        tree: parts.tree.map_or_else(Vec::new, |tree| tree_levels(tree, fit, &passages)),
        concepts: parts.scores.map_or_else(Vec::new, |scores| concept_rows(scores, parts.parents)),
        health: health_notes(&health, summary),
    }
}

fn run_card(fit: &FitRecord) -> RunCard {
    let (run, summary) = (&fit.run, &fit.run.summary);
    let option = |name: &str, value: String| (name.to_owned(), value);
    let options = &summary.options;
    let mut shown = vec![
        option("rank", options.rank.to_string()),
        option("neurons a feature", format!("{} ({}%)", summary.kept_per_feature, options.sparsity * 100.0)),
        option("solver", options.solver.name().to_owned()),
        option("start", options.init.name().to_owned()),
        option("seed", options.seed.to_string()),
        option("most iterations", options.max_iterations.to_string()),
        option("tolerance", format!("{:e}", options.tolerance)),
    ];
    if options.solver == unmix::Solver::Hals {
        shown.push(option("penalty", options.penalty.to_string()));
    }
    let stored = run.input.stored_tokens;
    if stored > summary.tokens {
        shown.push(option("left out", format!("{} of {stored} tokens", stored - summary.tokens)));
    }
    let energy = summary.squared_norm;
    RunCard {
        data: files(&run.input.paths),
        tokens: summary.tokens,
        neurons: summary.neurons.into(),
        dtype: run.input.element.clone(),
        options: shown,
        engine: summary.engine.clone(),
        adapter: summary.adapter.clone(),
        relative_error: summary.relative_error,
        loss_curve: summary.loss_curve.iter().map(|loss| if energy > 0.0 { loss / energy } else { 0.0 }).collect(),
        best_iteration: summary.best_iteration,
        stop_reason: summary.stop_reason.name().to_owned(),
        seconds: summary.seconds,
        version: run.unmix_version.clone(),
        date: None,
        dead_features: summary.dead_features.iter().map(|&k| k as usize).collect(),
    }
}

/// The names of the files: the only one, or the first and how many there are.
fn files(paths: &[PathBuf]) -> Option<String> {
    let first = paths.first()?.file_name()?.to_string_lossy().into_owned();
    Some(if paths.len() > 1 { format!("{first} and {} more", paths.len() - 1) } else { first })
}

fn words(contexts: &Contexts, text: &Text) -> Vec<WordCount> {
    let spellings = contexts.spellings.iter();
    spellings.map(|s| WordCount { word: text.join(s.word.clone()), count: s.count }).collect()
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

fn concept_rows(scores: &ConceptScores, parents: Option<&HashMap<String, String>>) -> Vec<ConceptRow> {
    scores
        .concepts
        .iter()
        .map(|row| ConceptRow {
            concept: row.concept.clone(),
            parent: parents.and_then(|parents| parents.get(&row.concept)).cloned(),
            prompts: Some(row.prompts as u64),
            feature: row.best_feature,
            score: row.s_cd,
            auc: row.auc,
            p_value: row.corrected_p_value,
            detected: scores
                .detected
                .iter()
                .any(|pair| Some(pair.feature) == row.best_feature && pair.concept == row.concept),
            diff_means_auc: row.diff_means.map(|score| score.auc),
        })
        .collect()
}

fn notes(health: &Health, feature: usize, text: &Text) -> Vec<String> {
    let mut notes = Vec::new();
    for pair in &health.duplicates {
        if pair.first == feature || pair.second == feature {
            let other = pair.first + pair.second - feature;
            let what = if pair.cosine > 0.0 { "near copy" } else { "near opposite" };
            notes.push(format!("{what} of #{other} (cosine {:.2})", pair.cosine));
        }
    }
    if let Some(identity) = health.token_identity.iter().find(|identity| identity.feature == feature) {
        let token = text.join(identity.row..identity.row + 1);
        notes.push(format!("fires on one token, “{token}” ({:.0}% of its energy)", 100.0 * identity.share));
    }
    if health.low_share.contains(&feature) {
        notes.push("explains little".to_owned());
    }
    if health.dead.contains(&feature) {
        notes.push("dead: no token uses it".to_owned());
    }
    notes
}

fn tree_levels(tree: &Hierarchy, fit: &FitRecord, passages: &Passages<'_>) -> Vec<TreeLevel> {
    let coefficients = tree.node_coefficients(&fit.coefficients);
    let strongest = coefficients.strongest_tokens(&fit.coefficients, TOKENS_A_WORD * WORDS);
    let passages = Passages { most: NODE_CONTEXTS, ..*passages };
    let node = |level: usize, node: usize, tokens: &[Activation]| {
        let columns = tree.levels[level].features.rows;
        let rank = fit.coefficients.columns;
        let strength = |rows: std::ops::Range<usize>| -> Vec<f32> {
            let rows = &fit.coefficients.values[rows.start * rank..rows.end * rank];
            coefficients.of_rows(rows)[level].iter().skip(node).step_by(columns).copied().collect()
        };
        TreeNode {
            label: None,
            words: words(&contexts_of_tokens(tokens, passages.text, WORDS), passages.text),
            children: tree.levels[level].children[node]
                .iter()
                .map(|child| TreeChild { child: child.feature, strength: child.strength.into() })
                .collect(),
            contexts: passages.around(tokens, strength),
        }
    };
    strongest
        .iter()
        .enumerate()
        .map(|(level, nodes)| TreeLevel {
            name: Some(format!("{} groups", nodes.len())),
            nodes: nodes.iter().enumerate().map(|(index, tokens)| node(level, index, tokens)).collect(),
        })
        .collect()
}
