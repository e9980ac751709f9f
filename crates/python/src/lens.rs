//! The tokens that features make a model say.

use pyo3::prelude::*;
use serde_json::{Value, json};
use unmix::DenseMatrix;
use unmix_interpret::{LensReading, contexts, named_words, single_neurons};

use crate::interpret_errors::of_lens;
use crate::json::json as to_json;
use crate::text::Text;
use crate::weights::Weights;

/// Strongest words of a feature that stand beside the tokens it promotes.
const WORDS: usize = 10;

/// What features and single neurons promote and suppress, `top` tokens each. As JSON.
#[pyfunction]
fn lens(
    py: Python<'_>,
    text: Py<Text>,
    weights: Py<Weights>,
    features: Option<Vec<usize>>,
    neurons: Vec<usize>,
    top: usize,
) -> PyResult<String> {
    let Text { fit, found, words, .. } = text.get();
    let chosen = features.unwrap_or_else(|| (0..fit.features.rows).collect());
    let single = single_neurons(&neurons, fit.features.columns).map_err(of_lens)?;
    let values = chosen.iter().flat_map(|&k| fit.features.row(k)).copied().chain(single.values).collect();
    let rows = DenseMatrix { rows: chosen.len() + neurons.len(), columns: fit.features.columns, values };
    let readout = weights.get().readout(fit.features.columns, words)?;
    let (readings, strongest) = py
        .detach(|| {
            let readings = readout.read(&readout.directions(&rows)?, top)?;
            Ok((readings, contexts(&fit.coefficients, &found.text, WORDS)))
        })
        .map_err(of_lens)?;
    let (of_features, of_neurons) = readings.split_at(chosen.len());
    let entry = |key: &str, number: usize, reading: &LensReading| {
        let mut value = json!(reading.named(words));
        value[key] = number.into();
        value
    };
    let feature = |(&k, reading): (&usize, &LensReading)| {
        let mut value = entry("feature", k, reading);
        value["words"] = json!(text.get().has_words().then(|| named_words(&strongest[k], &found.text)));
        value
    };
    let neuron = |(&j, reading): (&usize, &LensReading)| entry("neuron", j, reading);
    to_json(&json!({
        "features": chosen.iter().zip(of_features).map(feature).collect::<Vec<Value>>(),
        "neurons": neurons.iter().zip(of_neurons).map(neuron).collect::<Vec<Value>>(),
        "tensors": readout.names(),
        "tokens": readout.tokens(),
        "padding": readout.padding(),
        "width": readout.width(),
        "has_vocabulary": words.is_known(),
    }))
}

/// Adds the function to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(lens, module)?)
}
