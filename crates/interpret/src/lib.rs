//! What the features of a factorization mean: where they are active, what they make a model say, which concepts they detect,
//! how they nest, whether a fit is healthy, and files for other tools.
//!
//! Everything here works on a finished fit ([`FitRecord`](unmix_data::FitRecord)) and, where it must, on the activations
//! again, panel by panel. Nothing prints.

pub mod concepts;
pub mod export;
pub mod report;

mod contexts;
mod correlation;
mod cosine;
mod distribution;
mod health;
mod hierarchy;
mod lens;
mod matching;
mod neurons;
mod one_line;
mod rows;

pub use contexts::{
    Activation, Contexts, Occurrence, Prompts, Spelling, StrongestTokens, TOKENS_A_WORD, Text, TokenNotation, Window,
    contexts, contexts_of_tokens, strongest_tokens,
};
pub use correlation::coefficient_correlations;
pub use cosine::{cosines, prompt_maxima};
pub use distribution::{Distribution, QUANTILES, distributions};
pub use health::{
    DUPLICATE_COSINE, Duplicate, Health, LOW_SHARE, NeuronGroup, SharedNeuron, TOKEN_SHARE, TokenIdentity, health,
    neuron_group,
};
pub use hierarchy::{Child, Hierarchy, HierarchyLevel, HierarchyOptions, NodeCoefficients, hierarchy};
pub use lens::{
    DownProjection, LensError, LensReading, LensWords, NormKind, Readout, ReadoutNames, ReadoutOptions, Role,
    TokenIdLogit, TokenLogit, single_neurons,
};
pub use matching::{MatchedPair, Matching, match_features};
pub use neurons::{Neuron, strongest_neurons};
pub use one_line::one_line;
pub use rows::{feature_cosines, norms, unit_features};
