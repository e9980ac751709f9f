//! How much fits have in common.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::{Value, json};
use unmix_data::write_file;
use unmix_interpret::links::{FeatureGraph, Measure, NamedFit, render};
use unmix_interpret::{Comparison, FitWords, check_page_target};

use crate::errors::of_data;
use crate::interpret_errors::of_fits;
use crate::json::json as to_json;
use crate::text::Text;

/// Words that name a feature on the page.
const PAGE_WORDS: usize = 5;

/// How the features of each other fit match those of the first one. As JSON, one object a fit.
#[pyfunction]
fn compare(py: Python<'_>, first: Py<Text>, others: Vec<Py<Text>>, by: Option<&str>) -> PyResult<String> {
    let first = first.get();
    let by = by.map(measure_named).transpose()?;
    let own_words = first.has_words().then(|| FitWords::of(&first.as_fitted, first.found.text.clone()));
    let compared = |other: &Py<Text>| -> PyResult<Value> {
        let other = other.get();
        let (a, b) = (&first.as_fitted, &other.as_fitted);
        let Some(measure) = by.or_else(|| Measure::between(a, b)) else {
            let [own, other] = Measure::neurons_in_words(a, b);
            return Err(PyValueError::new_err(format!(
                "the features of one fit are over {own}, those of another over {other}; only the features of one layer have \
                 cosines. If the rows of both fits are the same tokens, compare their coefficients with by=\"correlation\""
            )));
        };
        let comparison = py.detach(|| Comparison::of(a, b, measure)).map_err(of_fits)?;
        let words = other.has_words().then(|| FitWords::of(b, other.found.text.clone()));
        let words = own_words.as_ref().zip(words.as_ref()).map(|(a, b)| [a, b]);
        let mut value = json!(comparison.summary(b, words));
        value["verdict"] = json!(comparison.verdict());
        value["n_components"] = json!(b.features.rows);
        Ok(value)
    };
    to_json(&others.iter().map(compared).collect::<PyResult<Vec<Value>>>()?)
}

/// Writes a page that shows how features persist, split and merge from each fit to the next.
#[pyfunction]
fn links_page(
    py: Python<'_>,
    fits: Vec<Py<Text>>,
    names: Vec<String>,
    by: Option<&str>,
    path: PathBuf,
    force: bool,
) -> PyResult<()> {
    check_page_target(&path, force).map_err(of_data)?;
    let by = by.map(measure_named).transpose()?;
    let page = py.detach(|| {
        let words = |text: &Text| text.has_words().then(|| FitWords::of(&text.as_fitted, text.found.text.clone()));
        let mut named: Vec<NamedFit<'_>> = Vec::with_capacity(fits.len());
        for (text, name) in fits.iter().zip(&names) {
            let words = words(text.get()).map(|words| words.words(PAGE_WORDS));
            named.push(NamedFit { name: name.clone(), record: &text.get().as_fitted, words });
        }
        let graph = FeatureGraph::of(&named, by)?;
        Ok(render(&graph, &format!("Features of {}", names.join(", "))))
    });
    let page = page.map_err(of_fits)?;
    write_file(&path, force, |out| out.write_all(page.as_bytes())).map_err(of_data)
}

/// The measure of that name.
fn measure_named(name: &str) -> PyResult<Measure> {
    [Measure::Cosine, Measure::Correlation]
        .into_iter()
        .find(|measure| measure.name() == name)
        .ok_or_else(|| PyValueError::new_err(format!("by={name:?}: it must be \"cosine\" or \"correlation\"")))
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(compare, module)?)?;
    module.add_function(wrap_pyfunction!(links_page, module)?)
}
