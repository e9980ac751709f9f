//! Which prompts are about which concept, and which half they belong to.

use std::collections::BTreeMap;

use serde::Serialize;
use unmix_data::{Half, PromptLabel, PromptLabels};

use super::ConceptError;

/// Which of the names in a label counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConceptLevel {
    /// The concept.
    #[default]
    Concept,
    /// The wider concept that the concept is a part of. A prompt without one counts under its own concept.
    Parent,
}

/// The prompts of some activations with their labels. Prompts are numbered from 0 in the order of the labels.
#[derive(Clone, Debug)]
pub struct Labelling {
    level: ConceptLevel,
    concepts: Vec<String>,
    groups: Vec<usize>,
    choosing: Vec<bool>,
    prompt_of_row: Vec<u32>,
}

impl Labelling {
    /// Labels for activations whose rows belong to the prompts `prompt_ids`. Prompts with the label `neutral` are about
    /// nothing in particular, whatever their parent is.
    ///
    /// If the file does not say which half a prompt belongs to, every other prompt of a concept is for choosing,
    /// beginning with the one of the least number. The halves are the same at both levels. The order of the labels means nothing if they
    /// have ids.
    ///
    /// # Errors
    /// If a prompt has no label; if all prompts have the same one; if `level` is [`ConceptLevel::Parent`] and there are no
    /// parents; if no concept has prompts in both halves.
    pub fn new(
        labels: &PromptLabels,
        prompt_ids: &[i64],
        neutral: &str,
        level: ConceptLevel,
    ) -> Result<Labelling, ConceptError> {
        let refuse = |problem: String| Err(ConceptError::Labels { path: labels.path().to_owned(), problem });
        let entries = labels.entries(prompt_ids)?;
        let present: BTreeMap<i64, usize> = prompt_ids.iter().copied().zip(entries).collect();
        let number: BTreeMap<i64, u32> = present.keys().copied().zip(0..).collect();
        let prompts: Vec<_> = present.values().map(|&entry| labels.label(entry)).collect();

        if level == ConceptLevel::Parent && prompts.iter().all(|label| label.parent.is_none()) {
            return refuse(
                "no label names a parent; add a `parent` to each, or score the level of concepts".to_owned(),
            );
        }
        let name = |label: &PromptLabel<'_>| match (level, label.parent) {
            (ConceptLevel::Parent, Some(parent)) if label.concept != neutral => parent.to_owned(),
            _ => label.concept.to_owned(),
        };
        let mut names: Vec<String> = prompts.iter().map(name).collect();
        let mut concepts = names.clone();
        concepts.sort_unstable();
        concepts.dedup();
        if let [only] = &concepts[..] {
            return refuse(format!(
                "all {} prompts of the activations are labelled {only:?}; at least two different labels are needed",
                prompts.len()
            ));
        }
        concepts.retain(|concept| concept != neutral);
        let group = |name: String| concepts.binary_search(&name).unwrap_or(concepts.len());
        let groups: Vec<usize> = names.drain(..).map(group).collect();

        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let choosing: Vec<bool> = prompts
            .iter()
            .map(|label| {
                let before = seen.entry(label.concept).or_default();
                *before += 1;
                label.half.map_or(*before % 2 == 1, |half| half == Half::Choosing)
            })
            .collect();
        let has = |concept, half| groups.iter().zip(&choosing).any(|(&g, &c)| g == concept && c == half);
        if !(0..concepts.len()).any(|concept| has(concept, true) && has(concept, false)) {
            return refuse(
                "no concept has prompts in both halves, so nothing chosen on one can be scored on the other; give at least two \
                 prompts for a concept"
                    .to_owned(),
            );
        }
        let prompt_of_row = prompt_ids.iter().map(|prompt| number[prompt]).collect();
        Ok(Labelling { level, concepts, groups, choosing, prompt_of_row })
    }

    /// The level.
    pub fn level(&self) -> ConceptLevel {
        self.level
    }

    /// Names of the concepts in alphabetical order, without the neutral one.
    pub fn concepts(&self) -> &[String] {
        &self.concepts
    }

    /// For each prompt, the index of its concept, or the number of concepts if the prompt is neutral.
    pub fn groups(&self) -> &[usize] {
        &self.groups
    }

    /// For each prompt, whether it is in the half for choosing.
    pub fn choosing(&self) -> &[bool] {
        &self.choosing
    }

    /// For each row of the activations, the number of its prompt.
    pub fn prompt_of_row(&self) -> &[u32] {
        &self.prompt_of_row
    }

    /// Number of prompts.
    pub fn prompts(&self) -> usize {
        self.groups.len()
    }
}
