//! `cargo xtask shader-stats`: what the shader compilers of GPUs' makers make of the kernels.

use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;
use crate::process::{cargo, target, words};
use crate::vulkan;

const PROGRAM: &str = "unmix-shader-stats";

pub fn run(args: &[String]) -> Result<(), Failure> {
    if !cfg!(target_os = "linux") {
        return Err("Mesa's shader compilers run on Linux alone".to_owned().into());
    }
    let mut command = Command::new(build()?);
    command.arg("table").args(args);
    command.arg("--mesa-null").arg(vulkan::COMPILER.ensure()?.root());
    command.arg("--mesa").arg(vulkan::COOPERATIVE.ensure()?.root());
    command.arg("--shims").arg(vulkan::shims()?);
    let status = command.status().map_err(|e| format!("`{}` did not start: {e}", words(&command)))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(2) => Err(Failure::Usage(format!("`shader-stats` does not take {}", args.join(" ")))),
        _ => Err(format!("shader-stats failed ({status})").into()),
    }
}

/// Builds the program and returns its path. Builds the whole workspace, so that the dependencies are those of the tests
/// and nothing is built twice. Cargo prints nothing, so that standard output holds only the table.
pub fn build() -> Result<PathBuf, String> {
    let mut build = cargo(["build", "--release", "--quiet", "--workspace", "--bin", PROGRAM])?;
    if !build.status().is_ok_and(|status| status.success()) {
        return Err(format!("`{}` failed", words(&build)));
    }
    Ok(target()?.join("release").join(PROGRAM))
}
