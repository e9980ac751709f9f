//! The text of a fit's tokens, from whichever source gives it.

use std::path::{Path, PathBuf};

use clap::Args;
use unmix::ActivationSource;
use unmix_data::{ActivationSet, FitRecord, TokenColumns, TokenStrings, Vocabulary, unknown_token};
use unmix_interpret::{Prompts, Text, TokenNotation};

use crate::failure::Failure;

/// Options that give the text of tokens.
#[derive(Clone, Debug, Default, Args)]
pub struct TextArgs {
    /// JSON array with the text of each row's token, also of those that the fit left out, as
    /// `tokenizer.convert_ids_to_tokens(token_ids)` gives it; used instead of a vocabulary
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,

    /// The model's vocabulary: tokenizer.json, a JSON array (index = id), or a JSON object from text to id as in vocab.json
    #[arg(long, value_name = "FILE")]
    pub vocabulary: Option<PathBuf>,
}

/// Where words come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// One string for each row.
    Tokens,
    /// A vocabulary and the ids of the tokens.
    Vocabulary,
    /// Ids of tokens only.
    TokenIds,
    /// Nothing but the numbers of rows.
    Rows,
}

impl Source {
    /// The name of the source in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Source::Tokens => "tokens",
            Source::Vocabulary => "vocabulary",
            Source::TokenIds => "token_ids",
            Source::Rows => "rows",
        }
    }

    /// What to do to see words.
    pub fn hint(self) -> &'static str {
        match self {
            Source::Tokens | Source::Vocabulary => "",
            Source::TokenIds => "Numbers are token ids; --vocabulary FILE or --tokens FILE shows words.\n",
            Source::Rows => "Numbers are rows of the activations; --tokens FILE shows words.\n",
        }
    }
}

/// Warns if more tokens have lost bytes than a text would have by itself. The tokens of a byte-level vocabulary may be
/// parts of a character. If they are decoded one by one, each part becomes U+FFFD, and its bytes are lost.
fn warn_of_lost_bytes(path: &Path, strings: &TokenStrings, rows: usize) {
    /// One of this many tokens may well have this character in the text that the model read.
    const TOKENS_FOR_ONE: usize = 1000;
    let lost = (0..rows).filter(|&row| strings.get(row).is_some_and(|text| text.contains('\u{fffd}'))).count();
    if lost * TOKENS_FOR_ONE > rows {
        log::warn!(
            "{}: {lost} of {rows} tokens hold U+FFFD, as if each had been decoded by itself, which loses letters with accents, \
             Chinese characters and emoji; --vocabulary tokenizer.json shows them, and so do the strings of \
             tokenizer.convert_ids_to_tokens(token_ids)",
            path.display()
        );
    }
}

/// The text of the tokens of the fit in the folder `dir`.
pub fn read_text(args: &TextArgs, fit: &FitRecord, dir: &Path) -> Result<(Text, Source), Failure> {
    let (rows, stored) = (fit.coefficients.rows, fit.run.input.stored_tokens);
    text_of(args, rows, &fit.columns, stored, &format!("the fit {}", dir.display()))
}

/// Checks before the fit that [`read_text`] can read the text of these tokens after it.
pub fn check_text(args: &TextArgs, set: &ActivationSet) -> Result<(), Failure> {
    text_of(args, set.tokens() as usize, set.token_columns(), set.stored_tokens(), &set.names()).map(drop)
}

/// The text of `rows` tokens, which were kept of `stored`. `whose` says in messages what has them.
fn text_of(
    args: &TextArgs,
    rows: usize,
    columns: &TokenColumns,
    stored: u64,
    whose: &str,
) -> Result<(Text, Source), Failure> {
    let prompts = Prompts::of(rows, columns);
    match (&args.tokens, &args.vocabulary, &columns.token_ids) {
        (Some(path), _, _) => {
            let strings = match &columns.rows {
                None => TokenStrings::from_rows(path, rows as u64)?,
                Some(kept) => TokenStrings::from_stored_rows(path, kept, stored)?,
            };
            warn_of_lost_bytes(path, &strings, rows);
            Ok((Text::new(&texts(&strings), prompts), Source::Tokens))
        }
        (_, Some(path), Some(ids)) => {
            let vocabulary = Vocabulary::read(path)?;
            let notation = TokenNotation::of(&vocabulary);
            let strings = TokenStrings::from_vocabulary(vocabulary, ids)
                .map_err(|error| Failure::from(error).at_stored_row(columns))?;
            warn_of_unknown(path, &strings, columns);
            Ok((Text::in_notation(&texts(&strings), notation, prompts), Source::Vocabulary))
        }
        (_, Some(path), None) => Err(Failure::Usage(format!(
            "--vocabulary {}: {whose} has no token ids, so a vocabulary tells nothing; give --tokens FILE with the text of \
             each row, or fit a file with a column `token_ids`",
            path.display()
        ))),
        (None, None, Some(ids)) => Ok((Text::of_labels(ids.iter(), prompts), Source::TokenIds)),
        (None, None, None) => {
            let labels = (0..rows).map(|row| row_in_files(columns, row));
            Ok((Text::of_labels(labels, prompts), Source::Rows))
        }
    }
}

/// The row of a token in the files of activations.
pub fn stored_row(fit: &FitRecord, token: usize) -> usize {
    row_in_files(&fit.columns, token)
}

fn row_in_files(columns: &TokenColumns, token: usize) -> usize {
    columns.rows.as_ref().map_or(token, |rows| rows[token] as usize)
}

/// The text of each row.
fn texts(strings: &TokenStrings) -> Vec<&str> {
    (0..strings.len()).map(|row| strings.get(row).unwrap_or_default()).collect()
}

/// Says how many tokens are missing in the vocabulary.
fn warn_of_unknown(path: &Path, strings: &TokenStrings, columns: &TokenColumns) {
    if let Some(unknown) = strings.unknown() {
        log::warn!(
            "{}: no text for {} tokens ({} different ids), the first in row {}; they are shown as {}",
            path.display(),
            unknown.rows,
            unknown.ids,
            row_in_files(columns, unknown.first_row),
            unknown_token(unknown.first_id)
        );
    }
}
