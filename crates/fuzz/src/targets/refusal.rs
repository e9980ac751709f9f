//! What must hold of an error.

use std::fmt::Display;

use unmix_data::Error;
use unmix_interpret::LensError;

/// An error of a reader, whose files are there and can be read, so that only what they hold can be wrong. What comes from a file
/// may be in its text as it is: whoever prints it makes it fit for that.
pub fn refused(error: &Error) {
    is_about_the_input(error, error.is_usage());
}

/// The same of the logit lens.
pub fn refused_by_lens(error: &LensError) {
    is_about_the_input(error, error.is_usage());
}

fn is_about_the_input(error: &impl Display, is_usage: bool) {
    assert!(is_usage, "the content of a file is taken for a failure of the system: {error}");
    assert!(!error.to_string().is_empty(), "an error without words");
}
