//! The text of tokens that are known only by their id.

use unmix_data::{Vocabulary, unknown_token};

use crate::{LensError, TokenNotation, one_line};

/// Texts of token ids, if a vocabulary is known.
#[derive(Clone, Debug, Default)]
pub struct VocabularyWords(Option<(Vocabulary, TokenNotation)>);

impl VocabularyWords {
    /// The texts of a vocabulary, if there is one.
    pub fn of(vocabulary: Option<Vocabulary>) -> VocabularyWords {
        VocabularyWords(vocabulary.map(|vocabulary| {
            let notation = TokenNotation::of(&vocabulary);
            (vocabulary, notation)
        }))
    }

    /// Whether a vocabulary is known.
    pub fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// The text of a token, if it is known.
    pub fn text(&self, id: u32) -> Option<String> {
        let (vocabulary, notation) = self.0.as_ref()?;
        vocabulary.get(id.into()).map(|entry| notation.text(entry))
    }

    /// Refuses a vocabulary that cannot belong to an unembedding of `tokens` rows. Some rows may be padding, and some
    /// entries may have no row, but not most of them.
    ///
    /// # Errors
    /// [`LensError::Vocabulary`].
    pub fn check(&self, tokens: u64) -> Result<(), LensError> {
        let Some((vocabulary, _)) = &self.0 else { return Ok(()) };
        let (known, entries) = (vocabulary.known_below(tokens) as u64, vocabulary.len() as u64);
        if 2 * known >= tokens.max(entries) {
            return Ok(());
        }
        Err(LensError::Vocabulary { path: vocabulary.path().to_owned(), entries, known, tokens })
    }

    /// A token for a table: its text on one line, with blanks at its ends as dots, or else its id.
    pub fn shown(&self, id: u32) -> String {
        if !self.is_known() {
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
