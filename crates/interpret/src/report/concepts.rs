//! Concepts: which are shown beside a feature, which names it, and what chance gives.

use std::collections::{HashMap, HashSet};

use super::{ConceptChance, ConceptRow, ConceptScore, Context};
use crate::concepts::{ConceptLevel, ConceptScores};

/// The concepts that a feature detects beyond chance, with what the feature's own contexts say about each. A concept
/// names the feature if it is also the most common label of the contexts. A score clearly above chance may still come
/// from tokens at which the feature is weak, and a name that the texts below it contradict helps nobody. If no context
/// has a label, the clearest concept names the feature.
pub fn concepts_of(
    feature: usize,
    scores: &ConceptScores,
    contexts: &[Context],
    parents: Option<&HashMap<String, String>>,
) -> Vec<ConceptScore> {
    let labels = labels(contexts, scores.level, parents);
    let commonest = commonest(&labels);
    let mut found: Vec<ConceptScore> = scores
        .detected
        .iter()
        .filter(|pair| pair.feature == feature)
        .enumerate()
        .map(|(place, pair)| ConceptScore {
            concept: pair.concept.clone(),
            prompts: pair.prompts as u64,
            auc: pair.auc,
            p_value: pair.p_value,
            contexts: commonest.map(|_| labels.iter().filter(|&&label| label == pair.concept).count() as u64),
            names: commonest.map_or(place == 0, |label| label == pair.concept),
        })
        .collect();
    // The sort is stable, so the other concepts stay in order.
    found.sort_by_key(|concept| !concept.names);
    found
}

/// The labels of the contexts, at the level that was scored.
fn labels<'a>(
    contexts: &'a [Context],
    level: ConceptLevel,
    parents: Option<&'a HashMap<String, String>>,
) -> Vec<&'a str> {
    let labels = contexts.iter().filter_map(|context| context.prompt_label.as_ref());
    labels.map(|label| at_level(label, level, parents)).collect()
}

/// The most common of the labels. Of equals, the one met first, because its contexts are stronger.
fn commonest<'a>(labels: &[&'a str]) -> Option<&'a str> {
    let count = |label: &str| labels.iter().filter(|&&other| other == label).count();
    // `max_by_key` takes the last of equals, which is the first one in this reversed order.
    labels.iter().rev().copied().max_by_key(|label| count(label))
}

/// The concepts, each with the feature that detects it best.
pub fn concept_rows(scores: &ConceptScores, parents: Option<&HashMap<String, String>>) -> Vec<ConceptRow> {
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
            chance: row.chance.map(|chance| [chance.mean, chance.p95]),
            p_value: row.corrected_p_value,
            detected: scores
                .detected
                .iter()
                .any(|pair| Some(pair.feature) == row.best_feature && pair.concept == row.concept),
            diff_means_auc: row.diff_means.map(|score| score.auc),
        })
        .collect()
}

/// All concepts together, and what shuffled labels give.
pub fn concept_chance(scores: &ConceptScores) -> Option<ConceptChance> {
    let (baseline, auc) = (scores.baseline.as_ref()?, scores.summary.auc_mean?);
    let chance = [baseline.auc_mean.mean, baseline.auc_mean.p95];
    Some(ConceptChance { permutations: baseline.permutations as u64, auc, chance })
}

/// The subject of each token's prompt: its label, if that is a concept that was scored. Without scores every label is
/// a subject.
pub fn subjects<'a>(
    labels: &'a [String],
    scores: Option<&ConceptScores>,
    parents: Option<&'a HashMap<String, String>>,
) -> Vec<Option<&'a str>> {
    let known: Option<HashSet<&str>> =
        scores.map(|scores| scores.concepts.iter().map(|concept| concept.concept.as_str()).collect());
    let level = scores.map_or(ConceptLevel::Concept, |scores| scores.level);
    let at_level = |label| at_level(label, level, parents);
    labels
        .iter()
        .map(at_level)
        .map(|label| Some(label).filter(|label| known.as_ref().is_none_or(|k| k.contains(label))))
        .collect()
}

/// A label, or the wider one if that is the level.
fn at_level<'a>(label: &'a String, level: ConceptLevel, parents: Option<&'a HashMap<String, String>>) -> &'a str {
    match level {
        ConceptLevel::Parent => parents.and_then(|parents| parents.get(label)).unwrap_or(label),
        ConceptLevel::Concept => label,
    }
}

/// Groups that colour the map: the concepts that name features, or their wider concepts if these are known. Without
/// concepts there are no groups.
#[derive(Default)]
pub struct Groups {
    /// Their names, in the order in which they were met.
    pub names: Vec<String>,
}

impl Groups {
    /// The group of a feature with these concepts.
    pub fn of(&mut self, concepts: &[ConceptScore], parents: Option<&HashMap<String, String>>) -> Option<usize> {
        let concept = &concepts.iter().find(|concept| concept.names)?.concept;
        let name = parents.and_then(|parents| parents.get(concept)).unwrap_or(concept);
        let place = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.clone());
            self.names.len() - 1
        });
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concepts::{Detected, ScoreSummary};

    fn scores(level: ConceptLevel, detected: &[(usize, &str)]) -> ConceptScores {
        let pair = |&(feature, concept): &(usize, &str)| Detected {
            feature,
            concept: concept.to_owned(),
            prompts: 4,
            auc: 0.96,
            p_value: 0.001,
        };
        let summary = ScoreSummary {
            alive: 3,
            detects: None,
            s_cd_median: None,
            auc_mean: None,
            purity_mean: None,
            token_purity_mean: None,
            either_mean: None,
            diff_means_auc_mean: None,
            diff_means_s_cd_median: None,
        };
        ConceptScores {
            level,
            prompts: 40,
            choosing_prompts: 20,
            neutral_prompts: 20,
            concepts: Vec::new(),
            features: Vec::new(),
            detected: detected.iter().map(pair).collect(),
            summary,
            baseline: None,
        }
    }

    fn contexts(labels: &[&str]) -> Vec<Context> {
        let context = |label: &&str| Context { prompt_label: Some((*label).to_owned()), ..Context::default() };
        labels.iter().map(context).collect()
    }

    #[test]
    fn a_concept_that_the_contexts_contradict_names_no_feature() {
        let scores = scores(ConceptLevel::Concept, &[(0, "poetry"), (1, "poetry"), (1, "months")]);
        let comma = concepts_of(0, &scores, &contexts(&["neutral", "dance", "neutral", "poetry"]), None);
        assert_eq!(comma.iter().map(|c| (c.names, c.contexts)).collect::<Vec<_>>(), [(false, Some(1))]);
        assert_eq!(Groups::default().of(&comma, None), None);
        // Of the two concepts that the other feature detects, the one that its contexts come from is first.
        let month = concepts_of(1, &scores, &contexts(&["months", "poetry", "months"]), None);
        assert_eq!(
            month.iter().map(|c| (c.concept.as_str(), c.names)).collect::<Vec<_>>(),
            [("months", true), ("poetry", false)]
        );
        assert!(concepts_of(2, &scores, &contexts(&["months"]), None).is_empty());
    }

    #[test]
    fn of_labels_as_common_as_each_other_the_stronger_contexts_count() {
        assert_eq!(commonest(&["b", "a", "a", "b", "c"]), Some("b"));
        assert_eq!(commonest(&[]), None);
        // Without labels, the score alone decides.
        let scores = scores(ConceptLevel::Concept, &[(0, "poetry"), (0, "months")]);
        let found = concepts_of(0, &scores, &[Context::default()], None);
        assert_eq!(found.iter().map(|c| (c.names, c.contexts)).collect::<Vec<_>>(), [(true, None), (false, None)]);
    }

    #[test]
    fn wider_concepts_are_compared_with_the_wider_labels_of_contexts() {
        let parents = HashMap::from([("months", "time"), ("weekdays", "time")].map(|(a, b)| (a.into(), b.into())));
        let scores = scores(ConceptLevel::Parent, &[(0, "time")]);
        let found = concepts_of(0, &scores, &contexts(&["neutral", "months", "weekdays"]), Some(&parents));
        assert_eq!((found[0].names, found[0].contexts), (true, Some(2)));
        let mut groups = Groups::default();
        assert_eq!((groups.of(&found, Some(&parents)), groups.of(&[], None)), (Some(0), None));
        assert_eq!(groups.names, ["time"]);
    }
}
