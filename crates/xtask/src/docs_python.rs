//! `cargo xtask docs-python`: the reference of the Python package, from its docstrings.

use std::process::Command;

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
    let mut command = Command::new(&python);
    command.arg(package.folder.join("tests/reference.py")).arg(&out).env("PYTHONPATH", package.folder.join("python"));
    run_command(&mut command)?;
    println!("reference: {}", out.join("unmix.html").display());
    Ok(())
}
