//! `cargo xtask test-python --wheel`: the wheel of the Python package, as a user would install it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{run as run_command, target};
use crate::python;
use crate::python_package::{MINORS, PythonPackage, WHEEL};

/// Builds the wheel, and runs `tests/smoke.py` on it in an environment that has nothing but what the wheel asks for.
pub fn run() -> Result<(), String> {
    let package = PythonPackage::open()?;
    let tools = package.environment(WHEEL)?;
    let wheels = target()?.join("wheels");
    let mut build = package.module(&tools, "maturin");
    build.args(["build", "--release", "--out"]).arg(&wheels);
    run_command(&mut build)?;
    let wheel = newest(&wheels)?;
    let environment = package.work.join("wheel");
    let python = python::create(&environment, &MINORS)?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).arg(&wheel);
    run_command(&mut install)?;
    // Isolated (-I) and away from the package's folder, so that it is the wheel that is imported.
    let mut smoke = Command::new(&python);
    smoke.arg("-I").arg(package.folder.join("tests/smoke.py")).current_dir(&environment);
    run_command(&mut smoke)?;
    println!("wheel: {}", wheel.display());
    Ok(())
}

/// The wheel that was written last.
fn newest(folder: &Path) -> Result<PathBuf, String> {
    let failed = |e: std::io::Error| format!("cannot list {}: {e}", folder.display());
    let files = fs::read_dir(folder).map_err(failed)?.flatten().map(|entry| entry.path());
    let wheels = files.filter(|path| path.extension().is_some_and(|extension| extension == "whl"));
    wheels
        .max_by_key(|path| fs::metadata(path).and_then(|file| file.modified()).ok())
        .ok_or_else(|| format!("no wheel in {}", folder.display()))
}
