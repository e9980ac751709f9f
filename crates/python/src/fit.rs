//! The native class `Fit`: a fit in memory, as its folder stores it.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use unmix::DenseMatrix;
use unmix_data::{FitRecord, read_fit, write_fit};

use crate::errors;

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
        let record = py.detach(|| read_fit(path)).map_err(errors::of_data)?;
        Ok(Fit { record: Arc::new(record) })
    }

    /// Writes the folder that `unmix` commands and `Fit.load` read.
    #[pyo3(signature = (path, force=false))]
    fn save(&self, py: Python<'_>, path: PathBuf, force: bool) -> PyResult<()> {
        py.detach(|| write_fit(path, &self.record, force)).map_err(errors::of_data)
    }

    /// Features Z [K, d], float32. A copy.
    fn features<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        matrix(py, &self.record.features)
    }

    /// Coefficients Y [n, K], float32. A copy.
    fn coefficients<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        matrix(py, &self.record.coefficients)
    }

    /// The columns of the tokens that are present: name to an int64 array [n].
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let columns = &self.record.columns;
        let named = [
            ("token_ids", &columns.token_ids),
            ("prompt_ids", &columns.prompt_ids),
            ("positions", &columns.positions),
            ("rows", &columns.rows),
        ];
        let dict = PyDict::new(py);
        for (name, column) in named {
            if let Some(column) = column {
                dict.set_item(name, PyArray1::from_slice(py, column))?;
            }
        }
        Ok(dict)
    }

    /// The content of `run.json`.
    fn run_json(&self) -> PyResult<String> {
        serde_json::to_string(&self.record.run).map_err(|error| PyValueError::new_err(error.to_string()))
    }
}

/// A matrix as an array of numpy.
fn matrix<'py>(py: Python<'py>, matrix: &DenseMatrix) -> PyResult<Bound<'py, PyArray2<f32>>> {
    PyArray1::from_slice(py, &matrix.values).reshape([matrix.rows, matrix.columns])
}

/// Adds the class to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Fit>()
}
