//! The Python package in `crates/python`: its folder, its environments, and its native module.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{build_unmix, root, target};
use crate::python::{self, Minors};

/// Versions of Python 3 on which the package is tested.
pub const MINORS: Minors = 10..=13;

/// Files of requirements in the package's tests: of the quick tests, of those with models, and of the wheel.
pub const QUICK: (&str, Minors) = ("requirements.txt", MINORS);
pub const MODELS: (&str, Minors) = ("requirements-models.txt", python::OF_TOOLS);
pub const WHEEL: (&str, Minors) = ("requirements-wheel.txt", MINORS);

pub struct PythonPackage {
    /// Its folder in the workspace.
    pub folder: PathBuf,
    /// Where its environments are.
    pub work: PathBuf,
}

impl PythonPackage {
    pub fn open() -> Result<Self, String> {
        let work = target()?.join("xtask-python");
        fs::create_dir_all(&work).map_err(|e| format!("cannot create {}: {e}", work.display()))?;
        Ok(PythonPackage { folder: root()?.join("crates/python"), work })
    }

    /// The interpreter of an environment with the packages of one of the files of requirements.
    pub fn environment(&self, (requirements, minors): (&str, Minors)) -> Result<PathBuf, String> {
        python::environment(&self.work, &self.folder.join("tests").join(requirements), &minors)
    }

    /// Runs a module in the package's folder, from where it imports `unmix` without an installation.
    pub fn module(&self, python: &Path, module: &str) -> Command {
        let mut command = Command::new(python);
        command.args(["-m", module]).current_dir(&self.folder).env("PYTHONPATH", self.folder.join("python"));
        command
    }

    /// Builds the native module and copies it into the package.
    pub fn build(&self) -> Result<(), String> {
        build_unmix()?;
        let (library, module) = if cfg!(windows) {
            ("_unmix.dll", "_unmix.pyd")
        } else if cfg!(target_os = "macos") {
            ("lib_unmix.dylib", "_unmix.abi3.so")
        } else {
            ("lib_unmix.so", "_unmix.abi3.so")
        };
        let built = target()?.join("release").join(library);
        let place = self.folder.join("python/unmix").join(module);
        // A process may have the earlier file mapped, so it is not written over.
        let _ = fs::remove_file(&place);
        fs::copy(&built, &place).map_err(|e| format!("cannot copy {} to {}: {e}", built.display(), place.display()))?;
        Ok(())
    }
}
