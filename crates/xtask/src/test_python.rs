//! `cargo xtask test-python`: the tests of the Python package.

use crate::failure::Failure;
use crate::process::{run as run_command, stream};
use crate::python_package::{MODELS, PythonPackage, QUICK};
use crate::tally::Tally;
use crate::vulkan::{self, Environment};
use crate::{pytest, wheel};

pub fn run(args: &[String]) -> Result<(), Failure> {
    match args.first().map(String::as_str) {
        Some("--wheel") => match &args[1..] {
            [] => Ok(wheel::run()?),
            [arg, ..] => Err(Failure::Usage(format!("`test-python --wheel` takes no argument {arg:?}"))),
        },
        Some("--all") => {
            quick(&vulkan::ensure_device()?, &args[1..], &mut Tally::default())?;
            Ok(with_models(&args[1..])?)
        }
        _ => Ok(quick(&vulkan::ensure_device()?, args, &mut Tally::default())?),
    }
}

/// The tests that need no model. `args` go on to pytest.
pub fn quick(environment: &Environment, args: &[String], tally: &mut Tally) -> Result<(), String> {
    let package = PythonPackage::open()?;
    let python = package.environment(QUICK)?;
    package.build()?;
    let mut command = package.module(&python, "pytest");
    command.args(["-q", "-rfE", "-m", "not models"]).args(args).envs(environment.iter().cloned());
    pytest::start(tally);
    stream(&mut command, |line| pytest::read(tally, line))
}

/// The tests that need PyTorch and the packages of models.
fn with_models(args: &[String]) -> Result<(), String> {
    let package = PythonPackage::open()?;
    let python = package.environment(MODELS)?;
    run_command(package.module(&python, "pytest").args(["-q", "-m", "models"]).args(args))
}
