//! The texts of tokens.

use std::collections::HashMap;
use std::path::Path;

use crate::json::read_json;
use crate::regular_file::MOST_TEXT;
use crate::texts::{Texts, of_token};
use crate::{Error, FitRecord, Vocabulary};

/// The text of each row's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenStrings {
    texts: Texts,
    /// Entry of `texts` for each row. Absent if there is one text for each row.
    entries: Option<Vec<u32>>,
    unknown: Option<UnknownTokens>,
}

/// Rows whose token ids are not in the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTokens {
    /// Number of such rows.
    pub rows: usize,
    /// Number of different ids.
    pub ids: usize,
    /// The first of the rows.
    pub first_row: usize,
    /// Its id.
    pub first_id: i64,
}

/// What a file of texts of rows holds.
const OF_ROWS: &str = "a JSON array with one string a row of the activations";

/// The text in place of a token whose text is not known.
pub fn unknown_token(id: i64) -> String {
    format!("[id {id}]")
}

impl TokenStrings {
    /// Texts from a JSON array with one string for each row.
    ///
    /// # Errors
    /// If the file cannot be read, has more than 1 GiB, is something else, or does not have `tokens` strings.
    pub fn from_rows(path: impl AsRef<Path>, tokens: u64) -> Result<TokenStrings, Error> {
        let path = path.as_ref();
        TokenStrings::of_rows(path, read_json(path, MOST_TEXT, OF_ROWS)?, tokens)
    }

    fn of_rows(path: &Path, texts: Texts, tokens: u64) -> Result<TokenStrings, Error> {
        if texts.len() as u64 != tokens {
            return Err(Error::ColumnLength {
                path: path.to_owned(),
                column: "the array".to_owned(),
                found: texts.len() as u64,
                tokens,
            });
        }
        Ok(TokenStrings { texts, entries: None, unknown: None })
    }

    /// Texts of tokens of which some were left out or whose rows were moved, from a JSON array with one string a row of the
    /// activations' files, `stored` in all, or one for each token in the order of those rows. `rows` are the tokens' rows.
    ///
    /// # Errors
    /// As [`from_rows`](Self::from_rows); if a row is not among the `stored`.
    pub fn from_stored_rows(path: impl AsRef<Path>, rows: &[i64], stored: u64) -> Result<TokenStrings, Error> {
        let path = path.as_ref();
        TokenStrings::of_stored_rows(path, read_json(path, MOST_TEXT, OF_ROWS)?, rows, stored)
    }

    fn of_stored_rows(path: &Path, texts: Texts, rows: &[i64], stored: u64) -> Result<TokenStrings, Error> {
        let found = texts.len() as u64;
        let of_kept = found == rows.len() as u64 && found != stored;
        if found != stored && !of_kept {
            let column = "the array".to_owned();
            return Err(Error::ColumnLength { path: path.to_owned(), column, found, tokens: stored });
        }
        let mut entries = Vec::with_capacity(rows.len());
        for &row in rows {
            match u32::try_from(row) {
                Ok(entry) if u64::from(entry) < stored => entries.push(entry),
                _ => {
                    return Err(Error::Inconsistent {
                        what: "a row of the tokens".to_owned(),
                        found: row.to_string(),
                        expected: format!("the activations had {stored} rows"),
                    });
                }
            }
        }
        if of_kept {
            let mut order: Vec<u32> = (0..entries.len() as u32).collect();
            order.sort_by_key(|&token| entries[token as usize]);
            for (place, token) in (0..).zip(order) {
                entries[token as usize] = place;
            }
        }
        Ok(TokenStrings { texts, entries: Some(entries), unknown: None })
    }

    /// The given texts of the tokens of a fit, one for each row, as [`from_rows`](Self::from_rows) and
    /// [`from_stored_rows`](Self::from_stored_rows) read them from a file. Errors call them `name`.
    ///
    /// # Errors
    /// If there is not one text for each token, or for each of the rows that the activations had.
    pub fn of_fit(name: &str, texts: &[impl AsRef<str>], fit: &FitRecord) -> Result<TokenStrings, Error> {
        let mut joined = Texts::default();
        texts.iter().for_each(|text| joined.push(text.as_ref()));
        let path = Path::new(name);
        match &fit.columns.rows {
            None => TokenStrings::of_rows(path, joined, fit.coefficients.rows as u64),
            Some(rows) => TokenStrings::of_stored_rows(path, joined, rows, fit.run.input.stored_tokens),
        }
    }

    /// Texts from a vocabulary. Ids that it does not have appear as [`unknown_token`]s, such as the -100 of tokens that
    /// do not count in a loss.
    ///
    /// # Errors
    /// If the vocabulary does not have most of the ids that are not negative. It then belongs to another model.
    pub fn from_vocabulary(vocabulary: Vocabulary, token_ids: &[i64]) -> Result<TokenStrings, Error> {
        let places: Vec<Option<u32>> = token_ids.iter().map(|&id| vocabulary.place(id)).collect();
        let rows = token_ids.iter().copied().enumerate();
        let unknown: Vec<(usize, i64)> = rows.filter(|&(row, _)| places[row].is_none()).collect();
        refuse_another_models(&vocabulary, token_ids, &unknown)?;

        let mut texts = vocabulary.into_texts();
        let mut added: HashMap<i64, u32> = HashMap::new();
        for &(_, id) in &unknown {
            added.entry(id).or_insert_with(|| {
                texts.push(&unknown_token(id));
                // Each text takes bytes of memory, so their number is far below the end of u32.
                (texts.len() - 1) as u32
            });
        }
        let entries = token_ids.iter().zip(places).map(|(id, place)| place.unwrap_or_else(|| added[id])).collect();
        let unknown = unknown.first().map(|&(first_row, first_id)| UnknownTokens {
            rows: unknown.len(),
            ids: added.len(),
            first_row,
            first_id,
        });
        Ok(TokenStrings { texts, entries: Some(entries), unknown })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.entries.as_ref().map_or(self.texts.len(), Vec::len)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Text of row `row`, if there is such a row. Texts of a vocabulary are cut after 1,024 bytes.
    pub fn get(&self, row: usize) -> Option<&str> {
        match &self.entries {
            Some(entries) => self.texts.get(*entries.get(row)? as usize).map(of_token),
            None => self.texts.get(row),
        }
    }

    /// The rows that appear as [`unknown_token`]s, if there are any.
    pub fn unknown(&self) -> Option<UnknownTokens> {
        self.unknown
    }
}

/// Refuses a vocabulary that does not have most of the ids. Negative ids are in no vocabulary, so they do not count.
fn refuse_another_models(vocabulary: &Vocabulary, token_ids: &[i64], unknown: &[(usize, i64)]) -> Result<(), Error> {
    let tokens = token_ids.iter().filter(|&&id| id >= 0).count();
    let mut lacking = unknown.iter().filter(|&&(_, id)| id >= 0).peekable();
    let Some(&&(row, id)) = lacking.peek() else { return Ok(()) };
    let unknown = lacking.count();
    if 2 * unknown <= tokens {
        return Ok(());
    }
    let (path, size) = (vocabulary.path().to_owned(), vocabulary.len());
    Err(Error::UnknownToken { path, id, row, unknown, tokens, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), text).expect("written");
        file
    }

    fn of_vocabulary(text: &str, ids: &[i64]) -> Result<TokenStrings, Error> {
        TokenStrings::from_vocabulary(Vocabulary::read(file(text).path())?, ids)
    }

    #[test]
    fn one_string_a_row() {
        let strings = TokenStrings::from_rows(file(r#"["a", " b", "é"]"#).path(), 3).expect("read");
        assert_eq!((strings.len(), strings.get(2), strings.get(3)), (3, Some("é"), None));
        assert!(!strings.is_empty());
    }

    #[test]
    fn strings_of_all_rows_or_of_the_tokens_that_were_kept() {
        for text in [r#"["a", "b", "c", "d", "e"]"#, r#"["b", "c", "e"]"#] {
            let strings = TokenStrings::from_stored_rows(file(text).path(), &[4, 1, 2], 5).expect("read");
            assert_eq!([0, 1, 2].map(|token| strings.get(token)), [Some("e"), Some("b"), Some("c")], "{text}");
        }
        let shuffled = TokenStrings::from_stored_rows(file(r#"["a", "b"]"#).path(), &[1, 0], 2).expect("read");
        assert_eq!((shuffled.get(0), shuffled.get(1)), (Some("b"), Some("a")));
        let refused = |rows: &[i64], stored| {
            TokenStrings::from_stored_rows(file(r#"["a", "b"]"#).path(), rows, stored).expect_err("refused").to_string()
        };
        assert!(refused(&[0], 5).contains("2 entries, but there are 5 tokens"));
        assert!(refused(&[0, 7], 5).contains("a row of the tokens is 7"));
    }

    #[test]
    fn both_kinds_of_vocabulary() {
        for text in [r#"["x", "y", "z"]"#, r#"{"z": 2, "x": 0, "y": 1}"#] {
            let strings = of_vocabulary(text, &[2, 0, 2, 1]).expect("read");
            let texts: Vec<_> = (0..4).map(|i| strings.get(i).expect("row")).collect();
            assert_eq!(texts, ["z", "x", "z", "y"]);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let rows = |text: &str| TokenStrings::from_rows(file(text).path(), 2).expect_err("refused").to_string();
        assert!(rows(r#"["a"]"#).contains("1 entries, but there are 2 tokens"));
        assert!(rows(r#"["a", 3]"#).contains("integer `3`, expected entry 1 to be a string"));
        assert!(rows(r#"{"a": 1}"#).contains("invalid type: map, expected an array of strings"));
        assert!(rows(r#"["a", "#).contains("not valid JSON: EOF"));
        assert!(rows("").contains("empty"));

        let vocabulary = |text: &str, id| of_vocabulary(text, &[id]).expect_err("refused").to_string();
        assert!(vocabulary(r#"["a"]"#, 1).contains("lacks 1 of 1 token ids, the first in row 0: 1"));
        assert!(vocabulary(r#"{"a": 0}"#, 7).contains("vocabulary (entries: 1)"));
        assert!(vocabulary(r#"{"a": {}}"#, 0).contains("\"a\" is an object instead of an id"));
        assert!(vocabulary(r#"{"a": 0, "b": 0}"#, 0).contains("share the id 0"));
        assert!(vocabulary("3", 0).contains("holds a number"));

        let missing = TokenStrings::from_rows("/no/such/tokens.json", 1).expect_err("refused");
        assert!(matches!(missing, Error::NotFound(_)));
        let folder = tempfile::tempdir().expect("folder");
        assert!(matches!(TokenStrings::from_rows(folder.path(), 1), Err(Error::NotAFile { .. })));
    }

    #[test]
    fn ids_that_a_vocabulary_lacks_are_written_as_numbers() {
        let strings = of_vocabulary(r#"["a", "b"]"#, &[0, -100, 1, 7, -100, 0]).expect("read");
        let texts: Vec<_> = (0..6).map(|row| strings.get(row).expect("row")).collect();
        assert_eq!(texts, ["a", "[id -100]", "b", "[id 7]", "[id -100]", "a"]);
        assert_eq!(strings.unknown(), Some(UnknownTokens { rows: 3, ids: 2, first_row: 1, first_id: -100 }));
        assert_eq!(of_vocabulary(r#"["a"]"#, &[0]).expect("read").unknown(), None);
    }

    #[test]
    fn a_vocabulary_that_lacks_most_ids_is_another_models() {
        let text = of_vocabulary(r#"["a"]"#, &[-100, 0, 5, 6]).expect_err("refused").to_string();
        assert!(text.contains("lacks 2 of 3 token ids, the first in row 2: 5"), "{text}");
        // Negative ids are in no vocabulary.
        assert!(of_vocabulary(r#"["a"]"#, &[-100, -100, 0]).is_ok());
    }
}
