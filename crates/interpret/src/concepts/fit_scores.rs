//! The scores of the features of a fit.

use unmix::{ActivationSource, DenseMatrix};
use unmix_data::{FitRecord, PromptLabels, TokenColumns};

use super::{ConceptError, ConceptLevel, ConceptScores, Labelling, StrongestRows, concept_scores};
use crate::strongest_tokens;

/// How features are scored.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreOptions {
    /// The label of prompts about nothing in particular.
    pub neutral: String,
    /// Which of the names in a label counts.
    pub level: ConceptLevel,
    /// Strongest tokens by which the purity of a feature is judged.
    pub purity_tokens: usize,
    /// How often labels are shuffled.
    pub permutations: usize,
    /// Seed of the shuffles.
    pub seed: u64,
}

impl Default for ScoreOptions {
    fn default() -> ScoreOptions {
        ScoreOptions {
            neutral: "neutral".to_owned(),
            level: ConceptLevel::Concept,
            purity_tokens: 25,
            permutations: 1000,
            seed: 0,
        }
    }
}

/// Scores the features of a fit on labelled activations. `columns` are those of the activations' tokens, whose
/// `prompt_ids` tell which tokens a label is about. `fitted` says whether the activations are those of the fit, row by
/// row, because coefficients are known only for its tokens.
///
/// # Errors
/// As [`Labelling::new`] and [`concept_scores`]. An error about a row has that of the activations' files.
pub fn score_fit(
    fit: &FitRecord,
    activations: &dyn ActivationSource,
    columns: &TokenColumns,
    fitted: bool,
    labels: &PromptLabels,
    options: &ScoreOptions,
) -> Result<ConceptScores, ConceptError> {
    let prompt_ids = columns.prompt_ids.as_deref().ok_or(ConceptError::NoPrompts)?;
    let labelling =
        Labelling::new(labels, prompt_ids, &options.neutral, options.level).map_err(|error| match error {
            ConceptError::Data(error) => ConceptError::Data(error.at_stored_row(columns.rows.as_deref())),
            other => other,
        })?;
    let rows: Option<Vec<Vec<usize>>> = fitted.then(|| {
        let strongest = strongest_tokens(&fit.coefficients, options.purity_tokens);
        strongest.iter().map(|tokens| tokens.iter().map(|token| token.row).collect()).collect()
    });
    let token_ids = columns.token_ids.as_deref();
    let strongest = rows.as_deref().map(|rows| StrongestRows { rows, token_ids });
    concept_scores(activations, &labelling, &living(fit), strongest.as_ref(), options.permutations, options.seed)
}

/// The features, set to zero if no token of the fit uses them.
fn living(fit: &FitRecord) -> DenseMatrix {
    let mut features = fit.features.clone();
    let columns = features.columns;
    for &k in &fit.run.summary.dead_features {
        if let Some(row) = features.values.chunks_exact_mut(columns).nth(k as usize) {
            row.fill(0.0);
        }
    }
    features
}
