//! The native class `Fit`: a fit in memory, as its folder stores it.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::ndarray::ArrayView2;
use numpy::{PyArray2, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use unmix::DenseMatrix;
use unmix_data::{FitRecord, RunRecord, read_fit, write_fit};

use crate::computing::computing;
use crate::errors;
use crate::numbers::matrix_of;
use crate::token_columns::{columns_of, token_columns};

/// A fit: features, coefficients, the columns of its tokens, and how it was made.
#[pyclass(frozen, module = "unmix._unmix")]
pub struct Fit {
    /// The fit, as its folder stores it.
    pub record: Arc<FitRecord>,
}

#[pymethods]
impl Fit {
    /// Reads the folder that `unmix fit` or `Fit.save` wrote.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let record = computing(py, || read_fit(path).map_err(errors::of_data))?;
        Ok(Fit { record: Arc::new(record) })
    }

    /// A fit of its parts, as `run_json` and the others give them.
    #[staticmethod]
    fn from_parts(
        features: PyReadonlyArray2<'_, f32>,
        coefficients: PyReadonlyArray2<'_, f32>,
        columns: &Bound<'_, PyDict>,
        run_json: &str,
    ) -> PyResult<Self> {
        let run = RunRecord::parse(run_json.as_bytes()).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let (features, coefficients) = (matrix_of(&features), matrix_of(&coefficients));
        let record = FitRecord { features, coefficients, columns: token_columns(columns)?, run };
        record.check().map_err(errors::of_data)?;
        Ok(Fit { record: Arc::new(record) })
    }

    /// Writes the folder that `unmix` commands and `Fit.load` read.
    #[pyo3(signature = (path, force=false))]
    fn save(&self, py: Python<'_>, path: PathBuf, force: bool) -> PyResult<()> {
        computing(py, || write_fit(path, &self.record, force).map_err(errors::of_data))
    }

    /// Features Z [K, d], float32, read-only.
    fn features<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        borrowed(this, &this.get().record.features)
    }

    /// Coefficients Y [n, K], float32, read-only.
    fn coefficients<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        borrowed(this, &this.get().record.coefficients)
    }

    /// The columns of the tokens that are present: name to an int64 array [n].
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        columns_of(py, &self.record.columns)
    }

    /// The content of `run.json`.
    fn run_json(&self) -> PyResult<String> {
        serde_json::to_string(&self.record.run).map_err(|error| PyValueError::new_err(error.to_string()))
    }
}

/// A matrix of a fit as an array of numpy, which keeps the fit alive and cannot be written to.
fn borrowed<'py>(fit: &Bound<'py, Fit>, matrix: &DenseMatrix) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let view = ArrayView2::from_shape((matrix.rows, matrix.columns), &matrix.values)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    // SAFETY: the matrix is part of the fit, which never changes and is kept alive by the array.
    let array = unsafe { PyArray2::borrow_from_array(&view, fit.clone().into_any()) };
    array.getattr("flags")?.setattr("writeable", false)?;
    Ok(array)
}

/// Adds the class to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Fit>()
}
