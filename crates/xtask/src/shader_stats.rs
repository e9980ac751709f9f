//! `cargo xtask shader-stats`: what AMD's shader compiler makes of the kernels.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process::{cargo, root, words};
use crate::vulkan;

const PROGRAM: &str = "unmix-shader-stats";

pub fn run(args: &[String]) -> Result<(), Failure> {
    if !cfg!(target_os = "linux") {
        return Err("AMD's open shader compiler runs on Linux alone".to_owned().into());
    }
    // The whole workspace, so that its dependencies are those of the tests and nothing is built twice.
    // Nothing is printed, so that standard output is the table alone.
    let mut build = cargo(["build", "--release", "--quiet", "--workspace", "--bin", PROGRAM])?;
    if !build.status().is_ok_and(|status| status.success()) {
        return Err(format!("`{}` failed", words(&build)).into());
    }
    let mesa = vulkan::COMPILER.ensure()?;
    let mut command = Command::new(&mesa.launcher[0]);
    command.args(&mesa.launcher[1..]).arg(program(&root()?)).args(args).envs(mesa.environment);
    // A compiler that answers from a cache has no statistics.
    command.env("MESA_SHADER_CACHE_DISABLE", "true");
    let status = command.status().map_err(|e| format!("`{}` did not start: {e}", words(&command)))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(2) => Err(Failure::Usage(format!("`shader-stats` does not take {}", args.join(" ")))),
        _ => Err(format!("shader-stats failed ({status})").into()),
    }
}

/// Where cargo has put it.
fn program(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root.join(target).join("release").join(PROGRAM)
}
