//! Warnings of files that may not be those that a user meant.

use unmix_data::{ActivationSet, Origin};

/// Warns if files number their prompts alike, or are from different places in a model.
pub fn warn_of_joined_files(set: &ActivationSet) {
    if set.prompts_were_renumbered() {
        log::warn!(
            "{} and other files number their prompts alike; their prompts stay apart under new numbers, which labels must use",
            set.files()[0].path().display()
        );
    }
    let differences = Origin::differences(set.files());
    if !differences.is_empty() {
        log::warn!(
            "the files are read as one matrix, but they are not from one place: {}; give the files of one place, unless this is what you \
             want",
            differences.join(", ")
        );
    }
}

/// Warns if files are from another place in a model than those that were fitted.
pub fn warn_of_other_place(fitted: &Origin, set: &ActivationSet) {
    if let Some((place, other)) = fitted.difference(&Origin::of(set.files())) {
        log::warn!(
            "the fit is of activations of {place}, but {} holds those of {other}; give those of {place}, unless this is what you want",
            set.names()
        );
    }
}
