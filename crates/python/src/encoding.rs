//! Coefficients of other activations.

use numpy::{PyArray1, PyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use unmix::{ActivationSource, Encoder, Solver};
use unmix_data::Fingerprinting;
use unmix_fitting::{FitFailure, FitInput, encode as encode_all, warn_of_other_place};

use crate::activations::Activations;
use crate::computing::computing;
use crate::errors::{of_computation, of_data, of_fit};
use crate::fit::Fit;
use crate::numbers::array_of;
use crate::options::device;

/// The coefficients of activations for the features of a fit: coefficients [n, K], squared residuals [n] and squared norms [n]. Without
/// `penalty`, it is that of the fit.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "three arrays")]
fn encode<'py>(
    py: Python<'py>,
    fit: &Fit,
    activations: &Activations,
    penalty: Option<f64>,
    tolerance: f64,
    device_name: &str,
) -> PyResult<(Bound<'py, PyArray2<f32>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>)> {
    let (record, input) = (&fit.record, &activations.input);
    if input.neurons() != record.features.columns as u64 {
        return Err(PyValueError::new_err(format!(
            "{} has {} neurons, but the features of the fit have {}; activations of the same layer are needed",
            input.names(),
            input.neurons(),
            record.features.columns
        )));
    }
    if let FitInput::Files(set) = input {
        warn_of_other_place(&record.run.input.origin, set);
    }
    let options = &record.run.summary.options;
    let penalty = penalty.unwrap_or(if options.solver == Solver::Hals { options.penalty } else { 0.0 });
    let device = device(device_name)?;
    let encoding = computing(py, || {
        let opened = device.open().map_err(|error| of_computation(&error))?;
        let encoder =
            Encoder::new(record.features.clone()).penalty(penalty).unshrink(options.unshrink).tolerance(tolerance);
        let source = Fingerprinting::new(input.clone());
        let encoding = encode_all(&encoder, opened.engine.as_ref(), &source, |_| {
            Python::attach(|py| py.check_signals().map_err(Stopped::Raised))
        });
        let encoding = match encoding {
            Ok(encoding) => Ok(encoding),
            Err(Stopped::Failed(error)) => Err(error),
            Err(Stopped::Raised(error)) => return Err(error),
        };
        let fingerprint = source.fingerprint().map_err(of_data)?;
        // If the numbers were changed, this explains an encoding that failed, and makes one that did not fail worthless.
        input.check_unchanged(&fingerprint).map_err(of_data)?;
        encoding.map_err(|error| of_fit(FitFailure::of_computation(error, input)))
    })?;
    let residuals = PyArray1::from_vec(py, encoding.squared_residuals);
    let norms = PyArray1::from_vec(py, encoding.squared_norms);
    Ok((array_of(py, encoding.coefficients)?, residuals, norms))
}

/// Why an encoding was not completed.
enum Stopped {
    /// Python raised something.
    Raised(PyErr),
    /// It failed.
    Failed(unmix::Error),
}

impl From<unmix::Error> for Stopped {
    fn from(error: unmix::Error) -> Stopped {
        Stopped::Failed(error)
    }
}

/// Adds the function to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(encode, module)?)
}
