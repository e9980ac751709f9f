//! Which features detect which concepts.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::json;
use unmix_data::{FitActivations, FitRecord, PromptLabels};
use unmix_fitting::{FitInput, warn_of_other_place};
use unmix_interpret::concepts::{ConceptLevel, ConceptScores, DETECTED_P, ScoreOptions, score_fit};

use crate::activations::Activations;
use crate::computing::computing;
use crate::errors::of_data;
use crate::interpret_errors::{of_activations, of_concepts};
use crate::json::json as to_json;
use crate::text::Text;

/// What each prompt is about.
#[pyclass(frozen, module = "unmix._unmix")]
pub struct Labels {
    /// The labels.
    pub labels: PromptLabels,
}

#[pymethods]
impl Labels {
    /// Labels from a file, or from its content as JSON.
    #[new]
    #[pyo3(signature = (path=None, content=None))]
    fn new(path: Option<PathBuf>, content: Option<&str>) -> PyResult<Self> {
        let labels = match (path, content) {
            (Some(path), _) => PromptLabels::read(path),
            (None, content) => PromptLabels::from_bytes("labels", content.unwrap_or_default().as_bytes()),
        };
        Ok(Labels { labels: labels.map_err(of_data)? })
    }
}

/// How concepts are scored, and on what.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Scoring {
    activations: Option<Py<Activations>>,
    neutral: String,
    level: String,
    purity_tokens: usize,
    permutations: usize,
    seed: u64,
}

impl Scoring {
    fn options(&self) -> PyResult<ScoreOptions> {
        let level = match self.level.as_str() {
            "concept" => ConceptLevel::Concept,
            "parent" => ConceptLevel::Parent,
            other => {
                return Err(PyValueError::new_err(format!("level={other:?}: it must be \"concept\" or \"parent\"")));
            }
        };
        if self.purity_tokens == 0 {
            return Err(PyValueError::new_err("purity_tokens=0: a whole number of at least 1 is needed"));
        }
        Ok(ScoreOptions {
            neutral: self.neutral.clone(),
            level,
            purity_tokens: self.purity_tokens,
            permutations: self.permutations,
            seed: self.seed,
        })
    }

    /// The scores of a fit, whose tokens are in the order of the activations, and whether they are on the tokens of the
    /// fit.
    pub fn score(&self, py: Python<'_>, fit: &FitRecord, labels: &PromptLabels) -> PyResult<(ConceptScores, bool)> {
        let options = self.options()?;
        if let Some(activations) = &self.activations {
            let input = activations.get().input.clone();
            return computing(py, || {
                if let FitInput::Files(set) = &input {
                    warn_of_other_place(&fit.run.input.origin, set);
                }
                let columns = input.token_columns().clone();
                let found = FitActivations::of(fit, input, columns).map_err(of_activations)?;
                let scores = score_fit(fit, &found.source, &found.columns, found.fitted, labels, &options);
                Ok((scores.map_err(of_concepts)?, found.fitted))
            });
        }
        computing(py, || {
            let found = FitActivations::reopen(fit).map_err(of_activations)?;
            let scores = score_fit(fit, &found.source, &found.columns, found.fitted, labels, &options);
            let scores = scores.map_err(of_concepts)?;
            found.source.check_untouched().map_err(of_data)?;
            Ok((scores, found.fitted))
        })
    }
}

/// How well the features of a fit detect labelled concepts. As JSON.
#[pyfunction]
fn concepts(py: Python<'_>, text: Py<Text>, labels: Py<Labels>, scoring: Scoring) -> PyResult<String> {
    let labels = &labels.get().labels;
    let (scores, fitted) = scoring.score(py, &text.get().as_fitted, labels)?;
    let mut value = json!(scores);
    value["fitted_tokens"] = json!(fitted);
    value["labels_by"] = json!(if labels.is_numbered() { "id" } else { "order" });
    value["beyond_chance"] = json!(DETECTED_P);
    to_json(&value)
}

/// Adds the class and the function to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Labels>()?;
    module.add_function(wrap_pyfunction!(concepts, module)?)
}
