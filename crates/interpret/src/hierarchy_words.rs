//! A hierarchy with the words at which its features are strongest.

use serde::Serialize;
use unmix_data::FitRecord;

use crate::{
    Child, Contexts, Hierarchy, HierarchyOptions, NamedWord, TOKENS_A_WORD, Text, contexts, contexts_of_tokens,
    named_words, neuron_group,
};

/// Words that are looked at for each feature.
const WORDS: usize = 12;

/// The words of every feature of a hierarchy.
#[derive(Debug)]
pub struct HierarchyWords<'a> {
    text: &'a Text,
    /// Contexts of the fit's features, then of each level's.
    contexts: Vec<Vec<Contexts>>,
}

/// A hierarchy as data for programs.
#[derive(Clone, Debug, Serialize)]
pub struct HierarchySummary {
    /// How it was found.
    pub options: HierarchyOptions,
    /// The features of the fit.
    pub features: Vec<LeafSummary>,
    /// The levels above them, first to last.
    pub levels: Vec<LevelSummary>,
}

/// A feature of the fit, below all levels.
#[derive(Clone, Debug, Serialize)]
pub struct LeafSummary {
    /// The words at which it is strongest.
    pub words: Vec<NamedWord>,
    /// How well the runs of a consensus agree on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reproducibility: Option<f64>,
}

/// A level of a hierarchy.
#[derive(Clone, Debug, Serialize)]
pub struct LevelSummary {
    /// Its number, from 1. The features of the fit are level 0.
    pub level: usize,
    /// The share of the features below that the level does not explain.
    pub relative_error: f64,
    /// Its features.
    pub nodes: Vec<NodeSummary>,
}

/// A feature of a level.
#[derive(Clone, Debug, Serialize)]
pub struct NodeSummary {
    /// Its number in the level.
    pub node: usize,
    /// The features of the level below that it is a part of, strongest first.
    pub children: Vec<Child>,
    /// The words at which its children are active together.
    pub words: Vec<NamedWord>,
    /// Neurons that more than half of its children use with the same sign.
    pub core_neurons: Vec<usize>,
    /// For each child, the neurons that no other child has.
    pub exclusive_neurons: Vec<Vec<usize>>,
}

impl<'a> HierarchyWords<'a> {
    /// The words of a hierarchy over the features of a fit, whose tokens have this text.
    pub fn of(fit: &FitRecord, text: &'a Text, tree: &Hierarchy) -> HierarchyWords<'a> {
        let tokens =
            tree.node_coefficients(&fit.coefficients).strongest_tokens(&fit.coefficients, TOKENS_A_WORD * WORDS);
        let mut all = vec![contexts(&fit.coefficients, text, WORDS)];
        all.extend(tokens.iter().map(|level| level.iter().map(|t| contexts_of_tokens(t, text, WORDS)).collect()));
        HierarchyWords { text, contexts: all }
    }

    /// The words of a feature of a level, at most `most` of them. Level 0 are the features of the fit.
    pub fn words(&self, level: usize, feature: usize, most: usize) -> Vec<String> {
        let spellings = self.contexts[level][feature].spellings.iter().take(most);
        spellings.map(|spelling| self.text.name(spelling.word.clone())).collect()
    }

    /// The hierarchy as data.
    pub fn summary(&self, fit: &FitRecord, tree: &Hierarchy, options: &HierarchyOptions) -> HierarchySummary {
        let leaf = |(contexts, statistics): (&Contexts, &unmix::FeatureStatistics)| LeafSummary {
            words: named_words(contexts, self.text),
            reproducibility: statistics.reproducibility,
        };
        let statistics = &fit.run.summary.feature_statistics;
        HierarchySummary {
            options: options.clone(),
            features: self.contexts[0].iter().zip(statistics).map(leaf).collect(),
            levels: (0..tree.levels.len()).map(|index| self.level(fit, tree, index)).collect(),
        }
    }

    fn level(&self, fit: &FitRecord, tree: &Hierarchy, index: usize) -> LevelSummary {
        let level = &tree.levels[index];
        let below = if index == 0 { &fit.features } else { &tree.levels[index - 1].features };
        let node = |(node, children): (usize, &Vec<Child>)| {
            let group: Vec<usize> = children.iter().map(|child| child.feature).collect();
            let neurons = neuron_group(below, &group);
            NodeSummary {
                node,
                children: children.clone(),
                words: named_words(&self.contexts[index + 1][node], self.text),
                core_neurons: neurons.core,
                exclusive_neurons: neurons.exclusive,
            }
        };
        LevelSummary {
            level: index + 1,
            relative_error: level.relative_error,
            nodes: level.children.iter().enumerate().map(node).collect(),
        }
    }
}
