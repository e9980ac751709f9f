//! The text of a fit's tokens, from whichever source gives it.

use std::path::{Path, PathBuf};

use clap::Args;
use unmix::ActivationSource;
use unmix_data::{ActivationSet, FitRecord, TokenColumns, TokenStrings, Vocabulary, unknown_token};
use unmix_interpret::{Text, TextGiven, TextSource, TokenText, VocabularyWords, stored_row};

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

impl TextArgs {
    /// The texts of token ids, if a vocabulary is given.
    pub fn words(&self) -> Result<VocabularyWords, Failure> {
        Ok(VocabularyWords::of(self.vocabulary.as_deref().map(Vocabulary::read).transpose()?))
    }
}

/// What to do to see words.
pub fn hint(source: TextSource) -> &'static str {
    match source {
        TextSource::Tokens | TextSource::Vocabulary => "",
        TextSource::TokenIds => "Numbers are token ids; --vocabulary FILE or --tokens FILE shows words.\n",
        TextSource::Rows => "Numbers are rows of the activations; --tokens FILE shows words.\n",
    }
}

/// The text of the tokens of the fit in the folder `dir`.
pub fn read_text(args: &TextArgs, fit: &FitRecord, dir: &Path) -> Result<(Text, TextSource), Failure> {
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
) -> Result<(Text, TextSource), Failure> {
    let given = match (&args.tokens, &args.vocabulary) {
        (Some(path), _) => TextGiven::Strings(match &columns.rows {
            None => TokenStrings::from_rows(path, rows as u64)?,
            Some(kept) => TokenStrings::from_stored_rows(path, kept, stored)?,
        }),
        (None, Some(path)) if columns.token_ids.is_none() => {
            return Err(Failure::Usage(format!(
                "--vocabulary {}: {whose} has no token ids, so a vocabulary tells nothing; give --tokens FILE with the text of \
                 each row, or fit a file with a column `token_ids`",
                path.display()
            )));
        }
        (None, Some(path)) => TextGiven::Vocabulary(Vocabulary::read(path)?),
        (None, None) => TextGiven::Nothing,
    };
    let found = TokenText::of(rows, columns, given).map_err(|error| error.at_stored_row(columns.rows.as_deref()))?;
    if let Some(path) = args.tokens.as_deref().or(args.vocabulary.as_deref()) {
        warn(path, &found, rows, columns);
    }
    Ok((found.text, found.source))
}

/// Says how many tokens have lost bytes, and how many are missing in the vocabulary.
fn warn(path: &Path, found: &TokenText, rows: usize, columns: &TokenColumns) {
    if let Some(lost) = found.lost {
        log::warn!(
            "{}: {lost} of {rows} tokens hold U+FFFD, as if each had been decoded by itself, which loses letters with accents, \
             Chinese characters and emoji; --vocabulary tokenizer.json shows them, and so do the strings of \
             tokenizer.convert_ids_to_tokens(token_ids)",
            path.display()
        );
    }
    if let Some(unknown) = found.unknown {
        log::warn!(
            "{}: no text for {} tokens ({} different ids), the first in row {}; they are shown as {}",
            path.display(),
            unknown.rows,
            unknown.ids,
            stored_row(columns, unknown.first_row),
            unknown_token(unknown.first_id)
        );
    }
}
