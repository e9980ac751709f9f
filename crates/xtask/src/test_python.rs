//! `cargo xtask test-python`: the tests of the Python package, on the native module of this workspace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process::{cargo, root, run as run_command, target};
use crate::python;

pub fn run(args: &[String]) -> Result<(), Failure> {
    let package = root()?.join("crates/python");
    let work = target()?.join("xtask-python");
    fs::create_dir_all(&work).map_err(|e| format!("cannot create {}: {e}", work.display()))?;
    let python = python::environment(&work, &package.join("tests/requirements.txt"))?;
    put_in_place(&package)?;
    let mut command = Command::new(&python);
    command.args(["-m", "pytest", "-q"]).args(args).current_dir(&package).env("PYTHONPATH", package.join("python"));
    Ok(run_command(&mut command)?)
}

/// Builds the native module and copies it into the Python package, where Python finds it without an installation.
fn put_in_place(package: &Path) -> Result<PathBuf, String> {
    // With all of the workspace, because otherwise wgpu would be built again with other features.
    run_command(&mut cargo(["build", "--release", "--workspace"])?)?;
    let (library, module) = if cfg!(windows) {
        ("_unmix.dll", "_unmix.pyd")
    } else if cfg!(target_os = "macos") {
        ("lib_unmix.dylib", "_unmix.abi3.so")
    } else {
        ("lib_unmix.so", "_unmix.abi3.so")
    };
    let (built, place) = (target()?.join("release").join(library), package.join("python/unmix").join(module));
    // A process may have the earlier file mapped, so it is not written over.
    let _ = fs::remove_file(&place);
    fs::copy(&built, &place).map_err(|e| format!("cannot copy {} to {}: {e}", built.display(), place.display()))?;
    Ok(place)
}
