//! Starts this program again under the driver of a chip, and reads what it compiled.

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde::{Deserialize, Serialize};
use unmix_kernels::compose;

use crate::chip::Chip;
use crate::device::{Compiled, Device};
use crate::variants::{Name, shaders};

/// The subcommand that compiles for a chip, in a process that has the chip's driver.
pub const COMPILE: &str = "compile";

/// Where libraries are below a root.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Where the versions of Mesa are unpacked, as they would be at a system's root.
#[derive(Args)]
pub struct Folders {
    /// Mesa 25, with AMD's null devices.
    #[arg(long, value_name = "FOLDER", hide = true)]
    mesa_null: PathBuf,
    /// Mesa 26, with other makers' drivers.
    #[arg(long, value_name = "FOLDER", hide = true)]
    mesa: PathBuf,
    /// The shims for these.
    #[arg(long, value_name = "FOLDER", hide = true)]
    shims: PathBuf,
}

/// What became of all shaders on a chip.
#[derive(Serialize, Deserialize)]
pub struct Outcome {
    /// The driver's names of the device and of itself.
    pub device: String,
    /// What was compiled.
    pub compiled: Vec<(Name, Compiled)>,
    /// What the chip cannot run.
    pub left_out: Vec<Name>,
}

/// Compiles for a chip, in a process of its own.
pub fn compile(chip: &Chip, folders: &Folders, parts: &[String]) -> Result<Outcome> {
    let start = chip.driver.start();
    let root = if start.shim.is_some() { &folders.mesa } else { &folders.mesa_null };
    let libraries = root.join(LIBRARIES);
    let manifest = starting(&root.join("usr/share/vulkan/icd.d"), start.manifest)?;
    // The libraries are newer than the system's, so the program starts with their dynamic linker. The shim must not be
    // loaded into other programs, and so stands in the command, not in LD_PRELOAD.
    let mut command = Command::new(starting(&libraries, "ld-linux")?);
    command.arg("--library-path").arg(&libraries);
    if let Some(shim) = start.shim {
        command.arg("--preload").arg(folders.shims.join(LIBRARIES).join(shim));
    }
    command.arg(std::env::current_exe()?).arg(COMPILE).arg(chip.name).args(parts);
    // Loaders before 1.3.207 know only the second name.
    for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        command.env(variable, &manifest);
    }
    // If the compiler answered from a cache, it would have no statistics.
    command.env("MESA_SHADER_CACHE_DISABLE", "true").envs(chip.variables.iter().copied());
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("compiling for {} failed ({})", chip.name, output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout).map_err(|e| format!("{}: {e}", chip.name))?)
}

/// What the process of [`compile`] does.
pub fn compile_here(chip: &Chip, parts: &[String]) -> Result<Outcome> {
    let device = Device::open(chip.device)?;
    let mut outcome = Outcome { device: device.name.clone(), compiled: Vec::new(), left_out: Vec::new() };
    for shader in shaders(parts)? {
        let needs = &shader.variant.needs;
        if !chip.can_run(needs) {
            outcome.left_out.push(shader.name);
            continue;
        }
        let wgsl = compose(shader.kernel, shader.element, shader.variant, shader.precision)?;
        let compiled = device.compile(&wgsl, needs.subgroup_size).map_err(|e| format!("{}: {e}", shader.name))?;
        outcome.compiled.push((shader.name, compiled));
    }
    Ok(outcome)
}

/// The first file of a folder whose name begins with `start`.
fn starting(folder: &Path, start: &str) -> Result<OsString> {
    let entries = fs::read_dir(folder).map_err(|e| format!("cannot read {}: {e}", folder.display()))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    let found = paths.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start)));
    Ok(found
        .ok_or_else(|| format!("{} has no {start}…; start this through `cargo xtask shader-stats`", folder.display()))?
        .into())
}
