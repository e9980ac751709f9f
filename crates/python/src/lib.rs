//! The native module `unmix._unmix` of the Python package.
//!
//! It hands Python's arguments to the engine and its results back. What is computed, and how it is told, is in the crates below.

#![expect(clippy::needless_pass_by_value, reason = "functions of Python get their arguments by value")]

mod activations;
mod command;
mod compare;
mod computing;
mod concepts;
mod encoding;
mod errors;
mod export;
mod families;
mod features;
mod fit;
mod fitting;
mod interpret_errors;
mod json;
mod lens;
mod log_records;
mod numbers;
mod options;
mod progress;
mod report;
mod text;
mod token_columns;
mod tree;
mod weights;

use pyo3::prelude::*;

/// The engine behind the package `unmix`.
#[pymodule]
fn _unmix(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    errors::register(module)?;
    families::register(module)?;
    activations::register(module)?;
    fit::register(module)?;
    fitting::register(module)?;
    encoding::register(module)?;
    options::register(module)?;
    log_records::register(module)?;
    command::register(module)?;
    text::register(module)?;
    weights::register(module)?;
    features::register(module)?;
    lens::register(module)?;
    concepts::register(module)?;
    tree::register(module)?;
    compare::register(module)?;
    report::register(module)?;
    export::register(module)
}
