//! What must hold of an error.

use unmix_data::Error;
use unmix_interpret::LensError;

/// An error of a reader, whose files are there and can be read, so that only what they hold can be wrong.
pub fn refused(error: &Error) {
    assert!(error.is_usage(), "the content of a file is taken for a failure of the system: {error}");
    fit_to_print(&error.to_string());
}

/// The same of the logit lens.
pub fn refused_by_lens(error: &LensError) {
    assert!(error.is_usage(), "the content of a file is taken for a failure of the system: {error}");
    fit_to_print(&error.to_string());
}

/// Text that a terminal shows as it is: what comes from a file cannot move its cursor, nor flood it.
fn fit_to_print(text: &str) {
    const LONGEST: usize = 1 << 16;
    assert!(!text.is_empty(), "an error without words");
    assert!(
        text.len() <= LONGEST,
        "an error of {} bytes: {:?} …",
        text.len(),
        &text.chars().take(200).collect::<String>()
    );
    assert!(!text.chars().any(char::is_control), "an error with control characters: {text:?}");
}
