//! Errors of the analysis of a fit as exceptions of Python, with the same texts.

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use unmix_data::FitActivationsError;
use unmix_interpret::concepts::ConceptError;
use unmix_interpret::export::ExportError;
use unmix_interpret::{FitError, LensError};

use crate::errors::{of_computation, of_data};

/// An error of the logit lens.
pub fn of_lens(error: LensError) -> PyErr {
    let advice = match &error {
        LensError::NotFound { .. } | LensError::UnknownModel { .. } => {
            " (down_projection=, unembedding=, final_norm= name tensors; norm= is the kind of the final norm; model_type= is the type)"
        }
        LensError::NoSuchType { .. } | LensError::Square { .. } => " (model_type=)",
        LensError::UnknownNorm { .. } => " (model_type= or norm=)",
        LensError::Ambiguous { .. } => " (layer=, expert= or down_projection=)",
        LensError::NoSuchLayer { .. } => " (layer=)",
        LensError::NoSuchExpert { .. } => " (expert=)",
        _ => "",
    };
    match error {
        LensError::Data(error) => of_data(error),
        other => PyValueError::new_err(format!("{other}{advice}")),
    }
}

/// An error of the scores of concepts.
pub fn of_concepts(error: ConceptError) -> PyErr {
    match error {
        ConceptError::Data(error) => of_data(error),
        error @ ConceptError::NoPrompts => {
            PyValueError::new_err(format!("the activations have {error} with activations="))
        }
        error @ ConceptError::Labels { .. } => PyValueError::new_err(error.to_string()),
    }
}

/// Options of `unmix export` that its errors name, and the arguments that they are in Python.
const EXPORT_OPTIONS: [(&str, &str); 4] = [
    ("--model-name NAME", "model_name="),
    ("--layer N", "layer="),
    ("--hook NAME without slashes, such as ", "a hook= without slashes, such as "),
    ("--padding ID", "padding="),
];

/// An error of an export.
pub fn of_export(error: ExportError) -> PyErr {
    match error {
        ExportError::Data(error) => of_data(error),
        other => {
            let text = EXPORT_OPTIONS
                .iter()
                .fold(other.to_string(), |text, (option, argument)| text.replace(option, argument));
            PyValueError::new_err(text)
        }
    }
}

/// An error of a comparison.
pub fn of_fits(error: FitError) -> PyErr {
    match error {
        FitError::Fit(error) => of_computation(&error),
        FitError::Data(error) => of_data(error),
    }
}

/// Why the activations of a fit cannot be had.
pub fn of_activations(error: FitActivationsError) -> PyErr {
    match error {
        FitActivationsError::Data(error) => of_data(error),
        FitActivationsError::InMemory => {
            PyValueError::new_err("the fit is of activations that were in memory; give them with activations=")
        }
        error @ FitActivationsError::Gone { .. } => {
            PyOSError::new_err(format!("{error}; say where they are with activations="))
        }
        error @ FitActivationsError::Changed { .. } => {
            PyValueError::new_err(format!("{error}; fit again, or give other activations with activations="))
        }
        error => PyValueError::new_err(error.to_string()),
    }
}
