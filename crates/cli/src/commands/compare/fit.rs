//! A fit that is compared, with its words.

use std::path::Path;

use unmix_data::{FitRecord, read_fit};
use unmix_interpret::{Contexts, Text, contexts, in_reading_order};

use crate::failure::Failure;
use crate::feature_table::OCCURRENCES;
use crate::token_text::{TextArgs, read_text};

/// A fit with its words, if they are known.
pub struct Fit<'a> {
    pub path: &'a Path,
    pub record: FitRecord,
    pub words: Option<Words>,
}

/// The words at which each feature is strongest.
pub struct Words {
    pub text: Text,
    pub of_features: Vec<Contexts>,
}

impl Fit<'_> {
    /// The words of each feature, at most `most` of each, if they are known.
    pub fn words(&self, most: usize) -> Option<Vec<Vec<String>>> {
        let Words { text, of_features } = self.words.as_ref()?;
        let of_feature = |found: &Contexts| {
            found.spellings.iter().take(most).map(|spelling| text.name(spelling.word.clone())).collect()
        };
        Some(of_features.iter().map(of_feature).collect())
    }
}

/// Reads a fit, and its words if they are known.
pub fn read<'a>(path: &'a Path, text: &TextArgs) -> Result<Fit<'a>, Failure> {
    let record = read_fit(path)?;
    let words = if text.tokens.is_none() && text.vocabulary.is_none() {
        None
    } else {
        let ordered = in_reading_order(&record);
        let (text, _) = read_text(text, &ordered, path)?;
        let of_features = contexts(&ordered.coefficients, &text, OCCURRENCES);
        Some(Words { text, of_features })
    };
    Ok(Fit { path, record, words })
}
