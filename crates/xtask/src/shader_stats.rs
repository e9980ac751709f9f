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
    // Builds the whole workspace, so that the dependencies are those of the tests and nothing is built twice.
    // Cargo prints nothing, so that standard output holds only the table.
    let mut build = cargo(["build", "--release", "--quiet", "--workspace", "--bin", PROGRAM])?;
    if !build.status().is_ok_and(|status| status.success()) {
        return Err(format!("`{}` failed", words(&build)).into());
    }
    let mesa = vulkan::COMPILER.ensure()?;
    let mut command = Command::new(&mesa.launcher[0]);
    command.args(&mesa.launcher[1..]).arg(program(&root()?)).args(args).envs(mesa.environment);
    // If the compiler answered from a cache, it would have no statistics.
    command.env("MESA_SHADER_CACHE_DISABLE", "true");
    let status = command.status().map_err(|e| format!("`{}` did not start: {e}", words(&command)))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(2) => Err(Failure::Usage(format!("`shader-stats` does not take {}", args.join(" ")))),
        _ => Err(format!("shader-stats failed ({status})").into()),
    }
}

/// Where cargo has put the program.
fn program(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root.join(target).join("release").join(PROGRAM)
}
