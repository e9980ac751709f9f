//! Dawn for Node: Tint as a module for Linux, macOS and Windows, with Direct3D's compilers beside that for Windows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{is_on_path, run};
use crate::shader_check::verdict::{Verdicts, ask};
use crate::system::{Packages, Privilege, System};

/// The package and its version.
const PACKAGE: &str = "webgpu@0.6.2";
/// Packages that bring Node and npm.
const NODE: Packages = Packages {
    debian: "nodejs npm",
    fedora: "nodejs npm",
    arch: "nodejs npm",
    suse: "nodejs npm",
    alpine: "nodejs npm",
};

/// The package in a folder.
pub struct Dawn(PathBuf);

impl Dawn {
    /// Installs it in `work` from npm, unless it is there already.
    pub fn ensure(work: &Path) -> Result<Self, String> {
        let package = Dawn(work.join("node_modules/webgpu"));
        ensure_node()?;
        if !package.0.join("index.js").is_file() {
            println!("Installing {PACKAGE} from npm in {} (once, 130 MB)", work.display());
            fs::create_dir_all(work).map_err(|e| format!("cannot create {}: {e}", work.display()))?;
            // No script of the package has to run.
            let options = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", "--prefix"];
            run(Command::new("npm").args(options).arg(work).arg(PACKAGE))?;
        }
        Ok(package)
    }

    /// What Tint says of WGSL.
    pub fn tint(&self, script: &Path, files: &[PathBuf]) -> Result<Verdicts, String> {
        ask(Command::new("node").arg(script).arg(self.0.join("index.js")).args(files))
    }

    /// The folder of `dxcompiler.dll` and `d3dcompiler_47.dll`.
    pub fn windows(&self) -> PathBuf {
        self.0.join("dist/win32-x64")
    }
}

/// Makes sure that Node and npm are there.
fn ensure_node() -> Result<(), String> {
    let is_there = || is_on_path("node") && is_on_path("npm");
    let system = System::read();
    if !is_there()
        && system.is_debian()
        && let Some(privilege) = Privilege::ours()
    {
        println!("Installing {}:", NODE.debian);
        privilege.update()?;
        privilege.install(&NODE.debian.split(' ').collect::<Vec<_>>())?;
    }
    if is_there() {
        return Ok(());
    }
    let by_hand = system.advice(&NODE).unwrap_or_else(|| "Install them".to_owned());
    Err(format!("node and npm are missing. {by_hand}, then start again"))
}
