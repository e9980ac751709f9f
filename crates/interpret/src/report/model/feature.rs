//! One feature, and what is known about it.

use serde::{Deserialize, Serialize};

use super::{Band, ConceptScore, Context};
use crate::{Interpretability, TokenLogit};

/// One feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReportFeature {
    /// Its number: the row of Z, from 0.
    pub number: usize,
    /// A name of a few words, for example given by a person or a language model.
    pub label: Option<String>,
    /// The different words at which it is strongest, strongest first. They stand in for a label if there is none.
    pub words: Vec<WordCount>,
    /// Mean cosine with the features that match it in the runs of a consensus. Absent for a single run.
    pub reproducibility: Option<f64>,
    /// Runs of the consensus that found it again, with a cosine of at least 0.8.
    pub found_in: Option<u32>,
    /// What its strongest contexts have in common. Absent if there are no texts.
    pub interpretability: Option<Interpretability>,
    /// How much the relative error would rise without the feature.
    pub explained_share: f64,
    /// ‖y_k‖²‖z_k‖² / ‖X‖².
    pub energy_share: f64,
    /// Share of tokens whose coefficient is above zero.
    pub active_share: f64,
    /// Largest coefficient.
    pub max_coefficient: f64,
    /// Euclidean norm of the feature.
    pub norm: f64,
    /// How its coefficients above zero are distributed.
    pub histogram: Option<Histogram>,
    /// Quantiles of its coefficients above zero, ascending. May be empty.
    pub quantiles: Vec<Quantile>,
    /// Where it is strongest, strongest first.
    pub contexts: Vec<Context>,
    /// Examples of the rest of its range, strongest first. May be empty.
    pub bands: Vec<Band>,
    /// Tokens whose logit it raises beyond chance, strongest first. Empty if there are none or they were not computed.
    pub promoted: Vec<TokenLogit>,
    /// Tokens whose logit it lowers beyond chance, strongest first. Empty if there are none or they were not computed.
    pub suppressed: Vec<TokenLogit>,
    /// Concepts that it detects beyond chance. The one that names it comes first. Empty if there are none, or if they
    /// were not computed.
    pub concepts: Vec<ConceptScore>,
    /// The features whose directions are most similar to its own, most similar first.
    pub neighbours: Vec<Neighbour>,
    /// The features that are active at the same tokens, strongest first.
    pub co_active: Vec<CoActive>,
    /// Its neurons, largest magnitude first: all of them, or the strongest ones.
    pub neurons: Vec<NeuronWeight>,
    /// What a reader should know before trusting it, such as `near copy of #31 (cosine 0.98)`. Mostly empty.
    pub notes: Vec<String>,
    /// Place on the map, [x, y] with both in 0..=1, as [`map_positions`](crate::report::map_positions) gives them.
    pub position: Option<[f32; 2]>,
    /// Its group, an index into [`Report::groups`](super::Report::groups). It gives the feature its colour on the map.
    pub group: Option<usize>,
}

/// A word, and how many of a feature's strongest occurrences have this spelling.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WordCount {
    /// The word.
    pub word: String,
    /// Occurrences, at least 1.
    pub count: usize,
}

/// How many coefficients lie in each of several adjoining bins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Edges of the bins, ascending. There is one more of them than bins.
    pub edges: Vec<f64>,
    /// Tokens in each bin. The page draws them on a logarithmic scale.
    pub counts: Vec<u64>,
}

/// A quantile of coefficients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    /// The share of the coefficients that are not above the value: 0.5 for the median.
    pub probability: f64,
    /// The value.
    pub value: f64,
}

/// A feature of similar direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its number.
    pub feature: usize,
    /// Cosine of the two, −1..=1.
    pub cosine: f64,
}

/// A feature that is active at the same tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoActive {
    /// Its number.
    pub feature: usize,
    /// Correlation of the two columns of coefficients over all tokens, −1..=1.
    pub correlation: f64,
}

/// A neuron of a feature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NeuronWeight {
    /// Column of the activations.
    pub neuron: usize,
    /// Its weight, for the feature scaled to unit norm, −1..=1.
    pub weight: f64,
}
