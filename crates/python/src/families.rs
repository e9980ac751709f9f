//! What the logit lens knows about families of models, for the adapters in Python.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use unmix_interpret::{ModelFamily, NormKind};

/// Adds this file's functions to the native module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(model_family, module)?)?;
    module.add_function(wrap_pyfunction!(model_types, module)?)?;
    module.add_function(wrap_pyfunction!(layer_prefixes, module)?)
}

/// What is known about models of a type, or None.
#[pyfunction]
fn model_family<'py>(py: Python<'py>, model_type: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
    let Some(family) = ModelFamily::of(model_type) else { return Ok(None) };
    let found = PyDict::new(py);
    found.set_item("layers", family.layers)?;
    found.set_item("down", family.down)?;
    found.set_item("final_norm", family.final_norm)?;
    found.set_item("norm", norm_name(family.norm))?;
    found.set_item("epsilon", family.epsilon)?;
    found.set_item("post_norms", family.post_norms)?;
    found.set_item("residual_multiplier", family.residual_multiplier)?;
    Ok(Some(found))
}

/// Every type of model that is known.
#[pyfunction]
fn model_types() -> Vec<&'static str> {
    ModelFamily::model_types().collect()
}

/// What may come before the layers of a model, with a dot behind it unless it is empty.
#[pyfunction]
fn layer_prefixes() -> Vec<&'static str> {
    unmix_interpret::layer_prefixes().to_vec()
}

fn norm_name(norm: NormKind) -> &'static str {
    match norm {
        NormKind::None => "none",
        NormKind::Rms => "rms",
        NormKind::RmsPlusOne => "rms-plus-one",
        NormKind::Layer => "layer",
        NormKind::LayerPlusOne => "layer-plus-one",
    }
}
