//! How features merge into coarser ones.

use serde::{Deserialize, Serialize};

use super::{Context, Interpretability, WordCount};

/// A level of the tree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TreeLevel {
    /// Its name, for example `25 groups`. The page numbers levels without a name.
    pub name: Option<String>,
    /// Its nodes. Children refer to them by index.
    pub nodes: Vec<TreeNode>,
}

/// A coarser feature, made of features or of nodes of the level below.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TreeNode {
    /// A name of a few words.
    pub label: Option<String>,
    /// The words at which it is strongest, strongest first. They stand in for a label if there is none.
    pub words: Vec<WordCount>,
    /// What it is made of, strongest first.
    pub children: Vec<TreeChild>,
    /// Whether it coheres. The page shows the children of a node that does not in its place.
    pub coheres: bool,
    /// What its strongest contexts have in common.
    pub interpretability: Option<Interpretability>,
    /// Where it is strongest, over the contexts of all its children.
    pub contexts: Vec<Context>,
}

/// A child of a node. A feature or node may be a child of several nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TreeChild {
    /// At the finest level, the number of the feature. At the others, the index of the node in the level below.
    pub child: usize,
    /// How much of the child belongs to the node, at least 0. It is at most about 1, and larger is stronger.
    pub strength: f64,
}
