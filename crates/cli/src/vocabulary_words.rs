//! The text of tokens that are known only by their id.

use std::path::Path;

use unmix_data::{Vocabulary, unknown_token};
use unmix_interpret::{TokenNotation, one_line};

use crate::failure::Failure;

/// Texts of token ids.
#[derive(Debug)]
pub struct VocabularyWords(Option<(Vocabulary, TokenNotation)>);

impl VocabularyWords {
    /// Reads the vocabulary in that file, if a file is given.
    pub fn read(path: Option<&Path>) -> Result<VocabularyWords, Failure> {
        let vocabulary = path.map(Vocabulary::read).transpose()?;
        Ok(VocabularyWords(vocabulary.map(|vocabulary| {
            let notation = TokenNotation::of(&vocabulary);
            (vocabulary, notation)
        })))
    }

    /// The text of a token, if it is known.
    pub fn text(&self, id: u32) -> Option<String> {
        let (vocabulary, notation) = self.0.as_ref()?;
        vocabulary.get(id.into()).map(|entry| notation.text(entry))
    }

    /// Refuses a vocabulary that cannot belong to an unembedding of `tokens` rows. Some rows may be padding, and some
    /// entries may have no row, but not most of them.
    pub fn check(&self, tokens: u64) -> Result<(), Failure> {
        let Some((vocabulary, _)) = &self.0 else { return Ok(()) };
        let (known, entries) = (vocabulary.known_below(tokens) as u64, vocabulary.len() as u64);
        if 2 * known >= tokens.max(entries) {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "--vocabulary {}: {entries} entries, {known} of them among the {tokens} tokens of the unembedding; give the vocabulary \
             of the same model",
            vocabulary.path().display()
        )))
    }

    /// A token for the table: its text on one line, with blanks at its ends as dots, or else its id.
    pub fn shown(&self, id: u32) -> String {
        if self.0.is_none() {
            return id.to_string();
        }
        let Some(text) = self.text(id).map(|text| one_line(&text)) else { return unknown_token(id.into()) };
        let (start, end) = (text.len() - text.trim_start_matches(' ').len(), text.trim_end_matches(' ').len());
        if start >= end {
            return "·".repeat(text.len());
        }
        format!("{}{}{}", "·".repeat(start), &text[start..end], "·".repeat(text.len() - end))
    }
}
