//! Errors of the engine as exceptions of Python, with the same texts.

use std::io::ErrorKind;

use pyo3::create_exception;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use unmix::RuntimeError;
use unmix_fitting::{FitFailure, Wording};

create_exception!(
    unmix,
    DeviceError,
    PyRuntimeError,
    "No device can compute what was asked, or it was lost meanwhile."
);

/// Options as the estimator has them.
pub const IN_ARGUMENTS: Wording =
    Wording { name: argument, given: |option, value| format!("{}={value}", argument(option)) };

/// The argument of the estimator for an option of the library.
fn argument(option: &str) -> String {
    match option {
        "rank" => "n_components",
        "max_iterations" => "max_iter",
        "tolerance" => "tol",
        "seed" => "random_state",
        "init_coefficients" => "init",
        other => other,
    }
    .to_owned()
}

/// An error while files were read or written.
pub fn of_data(error: unmix_data::Error) -> PyErr {
    let text = error.to_string();
    match error {
        unmix_data::Error::Io { source, .. } | unmix_data::Error::Read(source)
            if source.kind() == ErrorKind::OutOfMemory =>
        {
            PyMemoryError::new_err(text)
        }
        unmix_data::Error::NotFound(_) => PyOSError::new_err(text),
        error if error.is_usage() => PyValueError::new_err(text),
        _ => PyOSError::new_err(text),
    }
}

/// An error of a computation.
pub fn of_computation(error: &unmix::Error) -> PyErr {
    let text = IN_ARGUMENTS.of_library(error);
    match error {
        unmix::Error::Runtime(RuntimeError::OutOfMemory { .. } | RuntimeError::OverLimit { .. })
        | unmix::Error::Memory { .. } => PyMemoryError::new_err(text),
        unmix::Error::Runtime(RuntimeError::Activations { .. } | RuntimeError::Variants { .. }) => {
            PyValueError::new_err(text)
        }
        unmix::Error::Runtime(RuntimeError::Read(_)) | unmix::Error::CheckpointWrite { .. } => PyOSError::new_err(text),
        unmix::Error::Runtime(_) => DeviceError::new_err(text),
        unmix::Error::Unsound { .. } => PyRuntimeError::new_err(text),
        _ => PyValueError::new_err(text),
    }
}

/// Why there is no fit.
pub fn of_fit(failure: FitFailure) -> PyErr {
    let text = failure.text(&IN_ARGUMENTS);
    match failure {
        FitFailure::Rank { rank, names, tokens, neurons } => PyValueError::new_err(format!(
            "n_components={rank}: {names} has n_samples={tokens} and n_features={neurons}, so a whole number from 1 to {} is needed",
            tokens.min(neurons)
        )),
        FitFailure::Memory { .. } => PyMemoryError::new_err(text),
        FitFailure::Data(error) => of_data(error),
        FitFailure::DataOf { .. } | FitFailure::Folder { .. } | FitFailure::OtherActivations { .. } => {
            PyValueError::new_err(text)
        }
        FitFailure::Fit(error) => of_computation(&error),
    }
}

/// Adds the exceptions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("DeviceError", module.py().get_type::<DeviceError>())
}
