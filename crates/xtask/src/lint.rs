//! `cargo xtask lint`: formatting, clippy and rustdoc; formatting, rules and types of the Python package.

use std::process::Command;

use crate::failure::Failure;
use crate::process;
use crate::process::{cargo, run as run_command, succeeds};
use crate::python_package::{PythonPackage, QUICK};

pub fn run(args: &[String]) -> Result<(), Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::Usage(format!("`lint` takes no argument {arg:?}")));
    }
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if !succeeds(&mut cargo([subcommand, "--version"])?) {
            return Err(format!("{component} is missing; install it with `rustup component add {component}`").into());
        }
    }
    // The release profile, as in the tests, so that both use the same builds.
    let mut doc = cargo(["doc", "--workspace", "--no-deps", "--release", "--keep-going"])?;
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let package = PythonPackage::open()?;
    let python = package.environment(QUICK)?;
    let of_python = |module: &str, args: &[&str]| {
        let mut command = package.module(&python, module);
        command.args(args);
        command
    };
    let checks: [Command; 7] = [
        cargo(["fmt", "--all", "--", "--check"])?,
        // `fuzz` is a workspace of its own.
        cargo(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--", "--check"])?,
        cargo(["clippy", "--workspace", "--all-targets", "--release", "--keep-going", "--", "-D", "warnings"])?,
        doc,
        of_python("ruff", &["format", "--check", "--quiet"]),
        of_python("ruff", &["check", "--quiet"]),
        of_python("mypy", &[]),
    ];
    // All checks run, so that one run shows everything that is wrong.
    let mut failed = Vec::new();
    for mut check in checks {
        if run_command(&mut check).is_err() {
            failed.push(format!("`{}`", process::words(&check)));
        }
    }
    if failed.is_empty() {
        println!("lint: formatting, clippy, rustdoc, ruff and mypy are clean");
        return Ok(());
    }
    Err(format!("lint: not clean: {}", failed.join(", ")).into())
}
