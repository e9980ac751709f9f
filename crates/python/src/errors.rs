//! Errors of the engine as exceptions of Python, with the same texts.

use pyo3::create_exception;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

create_exception!(
    unmix,
    DeviceError,
    PyRuntimeError,
    "No device can compute what was asked, or it was lost meanwhile."
);

/// An error while files were read or written.
pub fn of_data(error: unmix_data::Error) -> PyErr {
    let text = error.to_string();
    match error {
        unmix_data::Error::Io { .. } | unmix_data::Error::NotFound(_) => PyOSError::new_err(text),
        _ => PyValueError::new_err(text),
    }
}

/// An error of a computation.
#[expect(dead_code, reason = "placeholder until the estimator is here")]
pub fn of_computation(error: unmix::Error) -> PyErr {
    let text = error.to_string();
    match error {
        unmix::Error::Runtime(_) => DeviceError::new_err(text),
        unmix::Error::Memory { .. } => PyMemoryError::new_err(text),
        _ => PyValueError::new_err(text),
    }
}

/// Adds the exceptions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("DeviceError", module.py().get_type::<DeviceError>())
}
