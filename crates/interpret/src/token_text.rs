//! The text of a fit's tokens, from whatever gives it.

use unmix_data::{Error, TokenColumns, TokenStrings, UnknownTokens, Vocabulary};

use crate::{Prompts, Text, TokenNotation};

/// What gives the text of tokens.
#[derive(Clone, Debug)]
pub enum TextGiven {
    /// A string for each token.
    Strings(TokenStrings),
    /// A vocabulary, for tokens whose ids are known. Without ids it says nothing.
    Vocabulary(Vocabulary),
    /// Nothing.
    Nothing,
}

/// Where words come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextSource {
    /// One string for each row.
    Tokens,
    /// A vocabulary and the ids of the tokens.
    Vocabulary,
    /// Ids of tokens only.
    TokenIds,
    /// Nothing but the numbers of rows.
    Rows,
}

impl TextSource {
    /// The name of the source in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            TextSource::Tokens => "tokens",
            TextSource::Vocabulary => "vocabulary",
            TextSource::TokenIds => "token_ids",
            TextSource::Rows => "rows",
        }
    }
}

/// The text of tokens, where it comes from, and what is missing in it.
#[derive(Clone, Debug)]
pub struct TokenText {
    /// The text.
    pub text: Text,
    /// Where words come from.
    pub source: TextSource,
    /// Number of tokens that lost bytes, if they are more than a text would have by itself. The tokens of a byte-level
    /// vocabulary may be parts of a character. If they are decoded one by one, each part becomes U+FFFD, and its bytes
    /// are lost.
    pub lost: Option<usize>,
    /// Tokens that the vocabulary does not have.
    pub unknown: Option<UnknownTokens>,
}

impl TokenText {
    /// The text of `rows` tokens with these columns.
    ///
    /// # Errors
    /// If the vocabulary does not have most of the ids. The row in the error is the row among the tokens that were kept.
    pub fn of(rows: usize, columns: &TokenColumns, given: TextGiven) -> Result<TokenText, Error> {
        let prompts = Prompts::of(rows, columns);
        let labels = |text, source| TokenText { text, source, lost: None, unknown: None };
        match (given, &columns.token_ids) {
            (TextGiven::Strings(strings), _) => Ok(TokenText {
                lost: lost(&strings),
                ..labels(Text::new(&texts(&strings), prompts), TextSource::Tokens)
            }),
            (TextGiven::Vocabulary(vocabulary), Some(ids)) => {
                let notation = TokenNotation::of(&vocabulary);
                let strings = TokenStrings::from_vocabulary(vocabulary, ids)?;
                let text = Text::in_notation(&texts(&strings), notation, prompts);
                Ok(TokenText { unknown: strings.unknown(), ..labels(text, TextSource::Vocabulary) })
            }
            (_, Some(ids)) => Ok(labels(Text::of_labels(ids.iter(), prompts), TextSource::TokenIds)),
            (_, None) => {
                let numbers = (0..rows).map(|row| stored_row(columns, row));
                Ok(labels(Text::of_labels(numbers, prompts), TextSource::Rows))
            }
        }
    }
}

/// The row of a token in the files of activations.
pub fn stored_row(columns: &TokenColumns, token: usize) -> usize {
    columns.rows.as_ref().map_or(token, |rows| rows[token] as usize)
}

/// The number of strings with lost bytes, if they are too many.
fn lost(strings: &TokenStrings) -> Option<usize> {
    /// One of this many tokens may well have this character in the text that the model read.
    const TOKENS_FOR_ONE: usize = 1000;
    let rows = strings.len();
    let lost = (0..rows).filter(|&row| strings.get(row).is_some_and(|text| text.contains('\u{fffd}'))).count();
    (lost * TOKENS_FOR_ONE > rows).then_some(lost)
}

/// The text of each row.
fn texts(strings: &TokenStrings) -> Vec<&str> {
    (0..strings.len()).map(|row| strings.get(row).unwrap_or_default()).collect()
}
