//! The command line of this process, as the program or the Python package got it.

use std::ffi::OsString;
use std::sync::OnceLock;

static ARGUMENTS: OnceLock<Vec<OsString>> = OnceLock::new();

/// Sets the command line, whose first entry is the program, unless it was set before.
pub fn set(arguments: Vec<OsString>) -> &'static [OsString] {
    ARGUMENTS.get_or_init(|| arguments)
}

/// The command line.
pub fn all() -> &'static [OsString] {
    ARGUMENTS.get().map_or(&[], Vec::as_slice)
}

/// The command line as text.
pub fn texts() -> Vec<String> {
    all().iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
}
