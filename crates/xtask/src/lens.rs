//! `cargo xtask test-lens`: compares the logit lens with transformers, on tiny models of every family that the lens
//! knows.

use std::fs;
use std::process::Command;

use crate::failure::Failure;
use crate::process::{build_unmix, root, run as run_command, target};
use crate::python;

pub fn run(args: &[String]) -> Result<(), Failure> {
    let fixture = match args {
        [] => false,
        [only] if only == "--fixture" => true,
        [other, ..] => return Err(Failure::Usage(format!("`test-lens` takes no argument {other:?}"))),
    };
    let root = root()?;
    let work = target()?.join("xtask-lens");
    fs::create_dir_all(&work).map_err(|e| format!("cannot create {}: {e}", work.display()))?;
    let scripts = root.join("crates/xtask/lens");
    let python = python::environment(&work, &scripts.join("requirements.txt"), &python::OF_TOOLS)?;
    let mut command = Command::new(python);
    command.arg(scripts.join("check_lens.py")).arg(build_unmix()?).arg(&work);
    if fixture {
        command.arg("--fixture").arg(root.join("crates/interpret/tests/lens/data"));
    }
    // The scripts must neither fetch anything nor write beside themselves.
    let variables = [("HF_HUB_OFFLINE", "1"), ("PYTHONDONTWRITEBYTECODE", "1"), ("PYTHONWARNINGS", "ignore")];
    Ok(run_command(command.envs(variables))?)
}
