//! What the features of a fit react to.

use pyo3::prelude::*;
use serde_json::json;
use unmix::Error;
use unmix_interpret::report::{health_notes, map_positions};
use unmix_interpret::{
    FeatureOrder, QUANTILES, REPRODUCIBLE, SummaryOptions, distributions, feature_summaries as summaries, health,
};

use crate::errors;
use crate::json::json as to_json;
use crate::text::Text;

/// The features in an order, `features` alone if given, each with its statistics, words, contexts, neurons and
/// distribution; and what is known about all of them. As JSON.
#[pyfunction]
#[pyo3(signature = (text, features, sort, contexts, words, neurons))]
fn feature_summaries(
    py: Python<'_>,
    text: Py<Text>,
    features: Option<Vec<usize>>,
    sort: &str,
    contexts: usize,
    words: usize,
    neurons: usize,
) -> PyResult<String> {
    let Text { fit, found, .. } = text.get();
    let order = order_named(sort).map_err(|error| errors::of_computation(&error))?;
    order.check(fit).map_err(|error| errors::of_computation(&error))?;
    let options = SummaryOptions { contexts, words, neurons, ..SummaryOptions::default() };
    let summary = &fit.run.summary;
    let (features, notes) = py
        .detach(|| {
            let chosen = features.unwrap_or_else(|| order.of(fit, &found.text));
            let token_ids = fit.columns.token_ids.as_deref();
            let health = health(&fit.features, &fit.coefficients, &summary.feature_statistics, token_ids);
            Ok((summaries(fit, &found.text, &chosen, &options)?, health_notes(&health, summary)))
        })
        .map_err(errors::of_data)?;
    to_json(&json!({
        "features": features,
        "notes": notes,
        "relative_error": summary.relative_error,
        "kept": summary.kept_per_feature,
        "tokens": summary.tokens,
        "neurons": summary.neurons,
        "runs": summary.consensus.as_ref().map(|consensus| consensus.runs),
        "reproducible": REPRODUCIBLE,
        "quantiles": QUANTILES,
        "source": found.source.name(),
    }))
}

/// The order of that name.
fn order_named(name: &str) -> Result<FeatureOrder, Error> {
    FeatureOrder::ALL.into_iter().find(|order| order.name() == name).ok_or_else(|| Error::Option {
        option: "sort",
        given: format!("{name:?}"),
        expected: format!("it must be one of {}", FeatureOrder::ALL.map(FeatureOrder::name).join(", ")),
    })
}

/// How the coefficients of each feature are distributed, in `bins` bins: one object a feature, as JSON.
#[pyfunction]
fn coefficient_distributions(py: Python<'_>, text: Py<Text>, bins: usize) -> PyResult<String> {
    to_json(&py.detach(|| distributions(&text.get().fit.coefficients, bins)))
}

/// A place [x, y] on the map for each feature.
#[pyfunction]
fn feature_positions(py: Python<'_>, text: Py<Text>) -> Vec<[f32; 2]> {
    let fit = &text.get().fit;
    py.detach(|| map_positions(&fit.features, Some(&fit.coefficients), fit.run.seed))
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(feature_summaries, module)?)?;
    module.add_function(wrap_pyfunction!(coefficient_distributions, module)?)?;
    module.add_function(wrap_pyfunction!(feature_positions, module)?)
}
