//! What is done around a fit, for the `unmix` command and for Python.
//!
//! A [`Device`] is where to compute, with the variants of kernels that were measured to be the fastest there ([`tuning`]). A [`FitInput`] is
//! the activations, in files or in memory. [`PlannedFit`] plans a fit of them within the memory that it may take, computes it, and
//! returns nothing if the activations were changed meanwhile. Nothing is printed: a [`FitFailure`] says what is wrong in the words of
//! whoever asked ([`Wording`]).

mod device;
mod encoding;
mod failure;
mod file_warnings;
mod fit_options;
mod fitting;
mod input;
pub mod memory;
mod placement;
mod planned_fit;
mod request;
mod saved_fit;
mod size_text;
mod time_text;
pub mod tuning;

pub use device::{Device, DeviceKind, OpenDevice};
pub use encoding::encode;
pub use failure::{FitFailure, Wording};
pub use file_warnings::{warn_of_joined_files, warn_of_other_place};
pub use fit_options::{FitOptions, Preset, SolverOptions, check_runs};
pub use fitting::{Fitting, going_on};
pub use input::{FitInput, check_rank};
pub use placement::{MemoryAllowance, Planned, plan, plan_batch, plan_by};
pub use planned_fit::{FitRecords, PlacedFit, PlannedFit, Source};
pub use request::{BegunFit, Request};
pub use saved_fit::{AskedFit, SavedFit, UnfinishedFit};
pub use size_text::{parse_size, size_text};
pub use time_text::parse_time;
