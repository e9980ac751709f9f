//! A second fit, to be read beside the first.

use serde::{Deserialize, Serialize};

use super::{Context, WordCount};
use crate::links::Measure;

/// A fit whose features are matched one to one with those of the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// Its title, for example the name of its folder.
    pub title: String,
    /// Its number of features.
    pub rank: u64,
    /// Its ‖X − YZ‖² / ‖X‖².
    pub relative_error: f64,
    /// What the features were matched by.
    pub by: Measure,
    /// From this likeness on, two features count as the same.
    pub same_from: f64,
    /// Mean likeness of the matches. A feature without a match counts as 0.
    pub stability: f64,
    /// The matches, most alike first.
    pub pairs: Vec<BesidePair>,
    /// Its features, in the order of their numbers.
    pub features: Vec<BesideFeature>,
}

/// A feature of the report and the one that matches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BesidePair {
    /// Number of the feature of the report.
    pub feature: usize,
    /// Number of the feature of the other fit.
    pub other: usize,
    /// How alike they are, above 0 and up to 1.
    pub likeness: f64,
}

/// A feature of the other fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BesideFeature {
    /// Its number.
    pub number: usize,
    /// The words at which it is strongest, strongest first.
    pub words: Vec<WordCount>,
    /// Share of tokens whose coefficient is above zero.
    pub active_share: f64,
    /// Its largest coefficient.
    pub max_coefficient: f64,
    /// Where it is strongest, strongest first.
    pub contexts: Vec<Context>,
}
