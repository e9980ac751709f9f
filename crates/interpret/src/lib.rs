//! What the features of a factorization mean: where they are active, what they make a model say, which concepts they
//! detect, how they nest and whether a fit is healthy. It also writes files for other tools.
//!
//! Everything here works on a finished fit ([`FitRecord`](unmix_data::FitRecord)). Some of it also reads the
//! activations again, panel by panel. Nothing here prints.
//!
//! ```
//! use unmix::{CpuEngine, Engine, HostActivations, SemiNmf};
//! use unmix_interpret::{Prompts, Text, contexts};
//!
//! // Six tokens, three of animals and three of trees.
//! let text = Text::new(&["cat", " fox", " dog", " elm", " ash", " oak"], Prompts::new(6, None, None));
//! let x = vec![
//!     1.0, -1.0, 0.0, 0.0, 2.0, -2.0, 0.0, 0.0, 3.0, -3.0, 0.0, 0.0, //
//!     0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 2.0, 4.0, 0.0, 0.0, 3.0, 6.0,
//! ];
//! let engine = CpuEngine::new();
//! let activations = engine.load(&HostActivations::from_f32(x, 6, 4)?)?;
//! let fit = SemiNmf::new(2).sparsity(0.5).fit(&engine, &activations)?;
//!
//! let found = contexts(&fit.coefficients, &text, 3);
//! let mut strongest: Vec<String> = found.iter().map(|c| text.join(c.occurrences[0].word.clone())).collect();
//! strongest.sort();
//! assert_eq!(strongest, ["dog", "oak"]);
//! # Ok::<(), unmix::Error>(())
//! ```

pub mod concepts;
pub mod export;
pub mod links;
pub mod report;
pub mod sweep;

mod active_features;
mod chance;
mod columns;
mod comparison;
mod contexts;
mod correlation;
mod cosine;
mod distribution;
mod feature_order;
mod feature_summary;
mod fit_error;
mod health;
mod held_out;
mod hierarchy;
mod hierarchy_words;
mod interpretability;
mod lens;
mod neurons;
mod one_line;
mod page;
mod reading_order;
mod rows;
mod token_text;
mod vocabulary_words;

pub use active_features::{ActiveFeatures, active_features};
pub use chance::{match_by_chance, match_correlations_by_chance};
pub use comparison::{ChanceSummary, Comparison, ComparisonSummary, FitWords, PairSummary};
pub use contexts::{
    Activation, Contexts, Occurrence, Prompts, Spelling, StrengthBand, StrongestTokens, TOKENS_A_WORD, Text,
    TokenNotation, Window, contexts, contexts_of_tokens, glyph_name, in_reading_order, strength_bands,
    strongest_tokens,
};
pub use correlation::{coefficient_correlations, cross_correlations};
pub use cosine::{cosines, prompt_maxima};
pub use distribution::{Distribution, QUANTILES, distributions};
pub use feature_order::FeatureOrder;
pub use feature_summary::{
    FeatureSummary, NamedWord, SummaryOptions, TokenCoefficient, WordContext, feature_summaries, named_words,
    word_contexts,
};
pub use fit_error::FitError;
pub use health::{
    DENSE_SHARE, DUPLICATE_COSINE, Duplicate, Health, LOW_SHARE, NeuronGroup, OUTLIER_NEURON_SHARE, OUTLIER_TOKEN_NORM,
    SharedNeuron, TOKEN_SHARE, TokenEnergy, TokenIdentity, health, neuron_group,
};
pub use held_out::{Folds, folds, held_out_error};
pub use hierarchy::{Child, Hierarchy, HierarchyLevel, HierarchyOptions, NodeCoefficients, hierarchy};
pub use hierarchy_words::{HierarchySummary, HierarchyWords, LeafSummary, LevelSummary, NodeSummary};
pub use interpretability::{Agreement, INTERPRETED_CONTEXTS, Interpretability, Interpreter};
pub use lens::{
    DownProjection, LensChance, LensError, LensReading, LensWords, ModelFamily, NamedReading, NamedToken, NormKind,
    Readout, ReadoutNames, ReadoutOptions, Role, TokenIdLogit, TokenLogit, layer_prefixes, single_neurons,
};
pub use neurons::{Neuron, strongest_neurons};
pub use one_line::{disturbs_a_terminal, one_line};
pub use page::check_page_target;
pub use reading_order::{REPRODUCIBLE, reading_order};
pub use rows::norms;
pub use token_text::{TextGiven, TextSource, TokenText, stored_row};
pub use vocabulary_words::VocabularyWords;
