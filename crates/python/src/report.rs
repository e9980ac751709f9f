//! Everything about the features of a fit on one page.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::json;
use unmix_data::write_file;
use unmix_interpret::check_page_target;
use unmix_interpret::concepts::{prompt_concepts, wider_concepts};
use unmix_interpret::report::{BesideParts, HealthLevel, ReportParts, assemble, match_fits, render};

use crate::concepts::{Labels, Scoring};
use crate::errors::of_data;
use crate::interpret_errors::{of_fits, of_lens};
use crate::json::json as to_json;
use crate::text::Text;
use crate::tree::Levels;
use crate::weights::Weights;

/// What a report is made from.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Request {
    path: PathBuf,
    force: bool,
    title: String,
    labels: Option<Py<Labels>>,
    scoring: Scoring,
    weights: Option<Py<Weights>>,
    levels: Levels,
    beside: Option<(String, Py<Text>)>,
    contexts: usize,
    window: usize,
}

/// Writes the page. What is on it, as JSON.
#[pyfunction]
fn report(py: Python<'_>, text: Py<Text>, request: Request) -> PyResult<String> {
    let Text { fit, found, words, as_fitted } = text.get();
    let Request { path, force, title, .. } = &request;
    check_page_target(path, *force).map_err(of_data)?;
    request.levels.options(fit)?;
    let matched = match &request.beside {
        None => None,
        Some((_, other)) => match py.detach(|| match_fits(fit, &other.get().fit)).map_err(of_fits)? {
            None => {
                return Err(PyValueError::new_err(
                    "beside: the fits have neither neurons nor tokens in common; give a fit over the same neurons, or over the \
                     same tokens",
                ));
            }
            matched => matched,
        },
    };
    let labels = request.labels.as_ref().map(|labels| &labels.get().labels);
    let scored = labels.map(|labels| request.scoring.score(py, as_fitted, labels)).transpose()?;
    let readout =
        request.weights.as_ref().map(|weights| weights.get().readout(fit.features.columns, words)).transpose()?;
    let lens = py.detach(|| readout.map(|readout| readout.promoted_beyond_chance(&fit.features, words)).transpose());
    let lens = lens.map_err(of_lens)?;
    let tree = request.levels.tree(py, fit)?;
    // Labels of other activations are about other prompts, which may have the same numbers.
    let of_the_fit = scored.as_ref().is_some_and(|(_, fitted)| *fitted);
    let names = labels.filter(|_| of_the_fit).and_then(|labels| prompt_concepts(labels, fit));
    let parents = labels.map(wider_concepts);
    let beside = request.beside.as_ref().zip(matched.as_ref());
    let (report, page) = py.detach(|| {
        let report = assemble(&ReportParts {
            title,
            fit,
            text: &found.text,
            labels: names.as_deref(),
            scores: scored.as_ref().map(|(scores, _)| scores),
            parents: parents.as_ref(),
            lens: lens.as_ref().map(|(lens, chance)| (lens.as_slice(), *chance)),
            tree: tree.as_ref().map(|(tree, _)| tree),
            beside: beside.map(|((title, other), matched)| BesideParts {
                title,
                fit: &other.get().fit,
                text: &other.get().found.text,
                matched,
            }),
            contexts: request.contexts,
            window: request.window,
        });
        let page = render(&report);
        (report, page)
    });
    write_file(path, *force, |out| out.write_all(page.as_bytes())).map_err(of_data)?;
    let count =
        |is: &dyn Fn(&unmix_interpret::report::ReportFeature) -> bool| report.features.iter().filter(|f| is(f)).count();
    to_json(&json!({
        "path": path.to_string_lossy(),
        "bytes": page.len(),
        "features": report.features.len(),
        "words_from": found.source.name(),
        "lens": lens.is_some(),
        "promoting": count(&|feature| !feature.promoted.is_empty()),
        "concepts": report.concepts.len(),
        "named": count(&|feature| feature.concepts.iter().any(|concept| concept.names)),
        "beside": matched.as_ref().map(|matched| json!({
            "matched_by": matched.measure,
            "stability": matched.matching.stability(),
        })),
        "warnings": report.health.iter().filter(|note| note.level == HealthLevel::Warning).collect::<Vec<_>>(),
        "levels": report.tree.iter().map(|level| level.nodes.len()).collect::<Vec<_>>(),
    }))
}

/// Adds the function to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(report, module)?)
}
