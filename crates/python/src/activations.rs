//! The native class `Activations`: what is factorized, in files or in memory.

use std::path::PathBuf;

use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use unmix::{ActivationSource, HostActivations};
use unmix_data::{ActivationSet, MemoryActivations, NormLimit, OpenOptions, TokenFilter, fingerprint};
use unmix_fitting::{FitInput, warn_of_joined_files};

use crate::computing::computing;
use crate::errors;
use crate::numbers::{bytes_of, element};
use crate::token_columns::{columns_of, token_columns};

/// Activations [n, d], with the columns of their tokens.
#[pyclass(frozen, module = "unmix._unmix")]
pub struct Activations {
    /// The activations.
    pub input: FitInput,
}

/// Which tokens of files are left out.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct LeaveOut {
    skip_token_ids: Vec<i64>,
    skip_first: u64,
    max_norm: Option<String>,
    keep: Option<String>,
}

#[pymethods]
impl Activations {
    /// Opens files as one matrix, without the tokens that are left out.
    #[staticmethod]
    fn from_files(py: Python<'_>, paths: Vec<PathBuf>, tensor: Option<String>, leave_out: LeaveOut) -> PyResult<Self> {
        unmix_data::catch_bus_errors();
        let limit = |text: &String| {
            text.parse::<NormLimit>().map_err(|problem| PyValueError::new_err(format!("max_norm={text}: {problem}")))
        };
        let filter = TokenFilter {
            skip_token_ids: leave_out.skip_token_ids,
            skip_first: leave_out.skip_first,
            max_norm: leave_out.max_norm.as_ref().map(limit).transpose()?,
            keep: leave_out.keep,
        };
        let set = computing(py, || {
            let opened = ActivationSet::open(&paths, &OpenOptions { tensor }).and_then(|set| set.filtered(&filter));
            opened.map_err(|error| match error {
                unmix_data::Error::AmbiguousTensor { .. } => PyValueError::new_err(format!("{error} with tensor=NAME")),
                other => errors::of_data(other),
            })
        })?;
        warn_of_joined_files(&set);
        Ok(Activations { input: FitInput::Files(set) })
    }

    /// Borrows the memory of an array: bytes of `tokens` × `neurons` numbers of type `element`, row after row. `columns` are those of
    /// the tokens.
    #[staticmethod]
    fn from_memory(
        bytes: &Bound<'_, PyArray1<u8>>,
        element_name: &str,
        tokens: u64,
        neurons: u64,
        columns: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let columns = token_columns(columns)?;
        let values = HostActivations::from_bytes(bytes_of(bytes)?, element(element_name)?, tokens, neurons)
            .map_err(|error| errors::of_computation(&error))?;
        let memory = MemoryActivations::new(values, columns).map_err(errors::of_data)?;
        Ok(Activations { input: FitInput::Memory(memory) })
    }

    /// Number of tokens, and of neurons.
    #[getter]
    fn shape(&self) -> (u64, u64) {
        (self.input.tokens(), self.input.neurons())
    }

    /// `f32`, `f16` or `bf16`.
    #[getter]
    fn element(&self) -> &'static str {
        self.input.element().name()
    }

    /// The files, in order. Empty for activations in memory.
    #[getter]
    fn paths(&self) -> Vec<PathBuf> {
        match &self.input {
            FitInput::Files(set) => set.files().iter().map(|file| file.path().to_owned()).collect(),
            FitInput::Memory(_) => Vec::new(),
        }
    }

    /// The columns of the tokens that are known: name to an int64 array [n].
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        columns_of(py, self.input.token_columns())
    }

    /// `blake3:` and 64 hexadecimal digits, over shape, type and numbers.
    fn fingerprint(&self, py: Python<'_>) -> PyResult<String> {
        computing(py, || fingerprint(&self.input).map_err(errors::of_data))
    }

    /// The rows from `start` up to `stop`, as float32.
    fn rows<'py>(&self, py: Python<'py>, start: u64, stop: u64) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (tokens, neurons) = self.shape();
        if start > stop || stop > tokens {
            return Err(PyIndexError::new_err(format!("rows {start} to {stop}: there are {tokens} rows")));
        }
        let element = self.input.element();
        let values = (stop - start) as usize * neurons as usize;
        let decoded = computing(py, || {
            let mut bytes = vec![0; values * element.bytes()];
            let mut decoded = vec![0.0; values];
            self.input.read_rows(start..stop, &mut bytes)?;
            element.decode(&bytes, &mut decoded);
            Ok(decoded)
        })?;
        PyArray1::from_vec(py, decoded).reshape([(stop - start) as usize, neurons as usize])
    }
}

/// Adds the class to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Activations>()
}
