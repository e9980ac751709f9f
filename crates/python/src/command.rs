//! The command `unmix`, which the package installs as well.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command line, whose first entry is the program, and returns the exit code. The process must do nothing else: signals, threads
/// and the log are those of the command from then on.
#[pyfunction]
fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| unmix_cli::main(arguments))
}

/// Adds the function to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(main, module)?)
}
