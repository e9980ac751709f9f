//! The native module `unmix._unmix` of the Python package.
//!
//! It hands Python's arguments to the engine and its results back. What is computed, and how it is told, is in the crates below.

mod activations;
mod command;
mod computing;
mod errors;
mod estimation;
mod families;
mod fit;
mod log_records;
mod numbers;
mod options;
mod progress;
mod token_columns;

use pyo3::prelude::*;

/// The engine behind the package `unmix`.
#[pymodule]
fn _unmix(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    errors::register(module)?;
    activations::register(module)?;
    fit::register(module)?;
    estimation::register(module)?;
    options::register(module)?;
    log_records::register(module)?;
    command::register(module)?;
    families::register(module)
}
