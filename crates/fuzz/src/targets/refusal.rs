//! What must hold of an error.

use std::fmt::Display;

use unmix_data::Error;
use unmix_interpret::LensError;

/// Checks an error of a reader. The reader's files are there and can be read, so only their content can be wrong. The
/// text of an error may contain text of a file unchanged, because whoever prints it makes it fit for that.
pub fn refused(error: &Error) {
    is_about_the_input(error, error.is_usage());
}

/// The same for the logit lens.
pub fn refused_by_lens(error: &LensError) {
    is_about_the_input(error, error.is_usage());
}

fn is_about_the_input(error: &impl Display, is_usage: bool) {
    assert!(is_usage, "the content of a file is taken for a failure of the system: {error}");
    assert!(!error.to_string().is_empty(), "an error without words");
}
