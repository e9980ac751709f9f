//! Texts of tokens.

use std::path::Path;

use serde_json::Value;

use crate::{Error, Vocabulary};

/// The text of each row's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenStrings {
    texts: Vec<String>,
    /// Entry of `texts` for each row; absent where there is one text a row.
    entries: Option<Vec<u32>>,
}

impl TokenStrings {
    /// Texts from a JSON array with one string a row.
    ///
    /// # Errors
    /// If the file cannot be read, is something else, or does not have `tokens` strings.
    pub fn from_rows(path: impl AsRef<Path>, tokens: u64) -> Result<TokenStrings, Error> {
        const EXPECTED: &str = "a JSON array with one string a row of the activations";
        let path = path.as_ref();
        let texts = match read_json(path, EXPECTED)? {
            Value::Array(values) => strings(path, values, EXPECTED)?,
            other => return Err(wrong(path, format!("the file holds {}", kind(&other)), EXPECTED)),
        };
        if texts.len() as u64 != tokens {
            return Err(Error::ColumnLength {
                path: path.to_owned(),
                column: "the array".to_owned(),
                found: texts.len() as u64,
                tokens,
            });
        }
        Ok(TokenStrings { texts, entries: None })
    }

    /// Texts from a vocabulary in any form that [`Vocabulary::read`] knows.
    ///
    /// # Errors
    /// If the file cannot be read or is something else, or lacks one of `token_ids`.
    pub fn from_vocabulary(path: impl AsRef<Path>, token_ids: &[i64]) -> Result<TokenStrings, Error> {
        let vocabulary = Vocabulary::read(path)?;
        let entries = token_ids
            .iter()
            .enumerate()
            .map(|(row, &id)| {
                vocabulary.place(id).ok_or_else(|| Error::UnknownToken {
                    path: vocabulary.path().to_owned(),
                    id,
                    row,
                    size: vocabulary.len(),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(TokenStrings { texts: vocabulary.into_texts(), entries: Some(entries) })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.entries.as_ref().map_or(self.texts.len(), Vec::len)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Text of row `row`, if there is such a row.
    pub fn get(&self, row: usize) -> Option<&str> {
        let entry = match &self.entries {
            Some(entries) => *entries.get(row)? as usize,
            None => row,
        };
        self.texts.get(entry).map(String::as_str)
    }
}

/// The content of a JSON file; `expected` says in words what it should be.
pub(crate) fn read_json(path: &Path, expected: &'static str) -> Result<Value, Error> {
    let bytes = read_file(path, "name one JSON file in it")?;
    serde_json::from_slice(&bytes).map_err(|e| wrong(path, format!("not valid JSON: {e}"), expected))
}

/// All bytes of a file, with the usual mistakes told apart.
pub(crate) fn read_file(path: &Path, folder_advice: &'static str) -> Result<Vec<u8>, Error> {
    match std::fs::read(path) {
        Ok(bytes) if bytes.is_empty() => Err(Error::Empty(path.to_owned())),
        Ok(bytes) => Ok(bytes),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(Error::NotFound(path.to_owned())),
        Err(_) if path.is_dir() => {
            Err(Error::NotAFile { path: path.to_owned(), found: "a folder", advice: folder_advice })
        }
        Err(e) => Err(Error::io(path, "reading", e)),
    }
}

/// The entries of an array that must be strings.
pub(crate) fn strings(path: &Path, values: Vec<Value>, expected: &'static str) -> Result<Vec<String>, Error> {
    values
        .into_iter()
        .enumerate()
        .map(|(i, value)| match value {
            Value::String(text) => Ok(text),
            other => Err(wrong(path, format!("entry {i} is {} instead of a string", kind(&other)), expected)),
        })
        .collect()
}

/// A JSON file that is not what was expected.
pub(crate) fn wrong(path: &Path, problem: String, expected: &'static str) -> Error {
    Error::Json { path: path.to_owned(), problem, expected }
}

/// What a value is, in words.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), text).expect("written");
        file
    }

    #[test]
    fn one_string_a_row() {
        let strings = TokenStrings::from_rows(file(r#"["a", " b", "é"]"#).path(), 3).expect("read");
        assert_eq!((strings.len(), strings.get(2), strings.get(3)), (3, Some("é"), None));
        assert!(!strings.is_empty());
    }

    #[test]
    fn both_kinds_of_vocabulary() {
        for text in [r#"["x", "y", "z"]"#, r#"{"z": 2, "x": 0, "y": 1}"#] {
            let strings = TokenStrings::from_vocabulary(file(text).path(), &[2, 0, 2, 1]).expect("read");
            let texts: Vec<_> = (0..4).map(|i| strings.get(i).expect("row")).collect();
            assert_eq!(texts, ["z", "x", "z", "y"]);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let rows = |text: &str| TokenStrings::from_rows(file(text).path(), 2).expect_err("refused").to_string();
        assert!(rows(r#"["a"]"#).contains("1 entries, but there are 2 tokens"));
        assert!(rows(r#"["a", 3]"#).contains("entry 1 is a number"));
        assert!(rows(r#"{"a": 1}"#).contains("holds an object"));
        assert!(rows(r#"["a", "#).contains("not valid JSON: EOF"));
        assert!(rows("").contains("empty"));

        let vocabulary = |text: &str, id| {
            TokenStrings::from_vocabulary(file(text).path(), &[0, id]).expect_err("refused").to_string()
        };
        assert!(vocabulary(r#"["a"]"#, 1).contains("no entry for token id 1 (row 1) in a vocabulary of 1 entries"));
        assert!(vocabulary(r#"["a"]"#, -1).contains("token id -1"));
        assert!(vocabulary(r#"{"a": 0}"#, 7).contains("token id 7"));
        assert!(vocabulary(r#"{"a": {}}"#, 0).contains("\"a\" is an object instead of an id"));
        assert!(vocabulary(r#"{"a": 0, "b": 0}"#, 0).contains("share the id 0"));
        assert!(vocabulary("3", 0).contains("holds a number"));

        let missing = TokenStrings::from_rows("/no/such/tokens.json", 1).expect_err("refused");
        assert!(matches!(missing, Error::NotFound(_)));
        let folder = tempfile::tempdir().expect("folder");
        assert!(matches!(TokenStrings::from_rows(folder.path(), 1), Err(Error::NotAFile { .. })));
    }
}
