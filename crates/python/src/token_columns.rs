//! The columns of tokens, as arrays of numpy and back.

use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use unmix_data::TokenColumns;

/// Columns as a dictionary of int64 arrays [n].
///
/// # Errors
/// If Python has no memory left.
pub fn columns_of<'py>(py: Python<'py>, columns: &TokenColumns) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, column) in columns.present() {
        dict.set_item(name, PyArray1::from_slice(py, column))?;
    }
    Ok(dict)
}

/// The columns of a dictionary of int64 arrays [n].
///
/// # Errors
/// If one is something else.
pub fn token_columns(columns: &Bound<'_, PyDict>) -> PyResult<TokenColumns> {
    let column = |name: &str| match columns.get_item(name)? {
        Some(column) => PyResult::Ok(Some(column.extract::<PyReadonlyArray1<'_, i64>>()?.as_array().to_vec())),
        None => Ok(None),
    };
    Ok(TokenColumns {
        token_ids: column("token_ids")?,
        prompt_ids: column("prompt_ids")?,
        positions: column("positions")?,
        rows: column("rows")?,
    })
}
