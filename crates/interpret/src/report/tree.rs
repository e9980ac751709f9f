//! How the features of a report merge into coarser ones, and which of those cohere.

use unmix_data::FitRecord;

use super::assemble::words;
use super::passages::{Passages, Seen, largest, peaks};
use super::{TreeChild, TreeLevel, TreeNode};
use crate::{Activation, Hierarchy, INTERPRETED_CONTEXTS, Interpretability, Interpreter, TOKENS_A_WORD};

/// Most contexts of a node that are shown.
const NODE_CONTEXTS: usize = 4;

fn coheres(interpretability: &Interpretability) -> bool {
    let agreements = [&interpretability.subject, &interpretability.word];
    agreements.into_iter().flatten().any(|agreement| 2 * agreement.contexts >= agreement.of)
}

/// The levels of a tree. A node coheres if it has several children, and if at least half of its strongest contexts agree
/// on a subject or on a word, beyond chance.
pub(super) fn tree_levels(
    tree: &Hierarchy,
    fit: &FitRecord,
    passages: &Passages<'_>,
    interpreter: &Interpreter<'_>,
) -> Vec<TreeLevel> {
    let coefficients = tree.node_coefficients(&fit.coefficients);
    let strongest = coefficients.strongest_tokens(&fit.coefficients, TOKENS_A_WORD * INTERPRETED_CONTEXTS);
    let passages = Passages { most: INTERPRETED_CONTEXTS, ..*passages };
    let node = |level: usize, node: usize, tokens: &[Activation]| {
        let columns = tree.levels[level].features.rows;
        let rank = fit.coefficients.columns;
        let strength = |rows: std::ops::Range<usize>| -> Vec<f32> {
            let rows = &fit.coefficients.values[rows.start * rank..rows.end * rank];
            coefficients.of_rows(rows)[level].iter().skip(node).step_by(columns).copied().collect()
        };
        let found = passages.unseen(tokens, &mut Seen::default());
        let interpretability = interpreter.of(&peaks(&found));
        let children = &tree.levels[level].children[node];
        TreeNode {
            label: None,
            words: words(tokens, passages.text),
            children: children
                .iter()
                .map(|child| TreeChild { child: child.feature, strength: child.strength.into() })
                .collect(),
            coheres: children.len() > 1 && coheres(&interpretability),
            interpretability: Some(interpretability),
            contexts: found
                .iter()
                .take(NODE_CONTEXTS)
                .map(|passage| passages.context(passage, largest(tokens), strength))
                .collect(),
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
