//! The environment in which a Vulkan device answers.

use std::ffi::OsString;

/// Variables that tests need to find their device.
pub type Environment = Vec<(&'static str, OsString)>;
