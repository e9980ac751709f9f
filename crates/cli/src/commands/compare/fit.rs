//! A fit that is compared, with its words.

use std::path::Path;

use unmix_data::{FitRecord, read_fit};
use unmix_interpret::{FitWords, in_reading_order};

use crate::failure::Failure;
use crate::token_text::{TextArgs, read_text};

/// A fit with its words, if they are known.
pub struct Fit<'a> {
    pub path: &'a Path,
    pub record: FitRecord,
    pub words: Option<FitWords>,
}

/// Reads a fit, and its words if they are known.
pub fn read<'a>(path: &'a Path, text: &TextArgs) -> Result<Fit<'a>, Failure> {
    let record = read_fit(path)?;
    let words = if text.tokens.is_none() && text.vocabulary.is_none() {
        None
    } else {
        let (text, _) = read_text(text, &in_reading_order(&record), path)?;
        Some(FitWords::of(&record, text))
    };
    Ok(Fit { path, record, words })
}
