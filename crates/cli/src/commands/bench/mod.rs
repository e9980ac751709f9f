//! `unmix bench`: how fast an iteration is on this machine, and how fast it could be on any other.

mod args;
mod iteration;
mod measured;
mod model;
mod roofline;
mod stages;
pub mod synthetic;
pub mod timing;
pub mod words;

pub use args::{BenchArgs, ElementOption, SizeArgs};

use crate::failure::Failure;
use crate::progress::Reporter;
use crate::shared_args::SharedArgs;

/// Runs the command.
pub fn run(args: &BenchArgs, shared: &SharedArgs, reporter: &mut Reporter) -> Result<(), Failure> {
    args.size.check()?;
    if args.roofline.is_some() && !shared.engine.is_default() {
        return Err(Failure::Usage(
            "--roofline: no device is opened, DEVICE is the one that counts; leave out --engine and --adapter"
                .to_owned(),
        ));
    }
    match &args.roofline {
        Some(device) => roofline::run(args, device, shared),
        None if args.stages => stages::run(args, shared, reporter),
        None => iteration::run(args, shared, reporter),
    }
}
