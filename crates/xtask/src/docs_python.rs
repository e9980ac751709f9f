//! `cargo xtask docs-python`: the reference of the Python package, from its docstrings.

use crate::failure::Failure;
use crate::process::{run as run_command, target};
use crate::python_package::{PythonPackage, QUICK};

pub fn run(args: &[String]) -> Result<(), Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::Usage(format!("`docs-python` takes no argument {arg:?}")));
    }
    let package = PythonPackage::open()?;
    let python = package.environment(QUICK)?;
    package.build()?;
    let out = target()?.join("doc-python");
    let mut command = package.module(&python, "pdoc");
    // A warning is an error.
    command.env("PYTHONWARNINGS", "error::UserWarning").args(["--docformat", "numpy", "--math", "--output-directory"]);
    run_command(command.arg(&out).arg("unmix"))?;
    println!("reference: {}", out.join("unmix.html").display());
    Ok(())
}
