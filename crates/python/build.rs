//! An extension module leaves the symbols of Python undefined, which linkers on macOS must be told.

fn main() {
    pyo3_build_config::add_extension_module_link_args();
}
