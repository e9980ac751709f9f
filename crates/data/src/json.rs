//! JSON files, and messages about files that are something else.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;
use crate::regular_file::read_file;
use crate::texts::told;

/// What to do if a path leads to a folder.
pub(crate) const FOLDER_ADVICE: &str = "name one JSON file in it";

/// The content of a JSON file of at most `most` bytes. `expected` says in words what it should be.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, most: u64, expected: &'static str) -> Result<T, Error> {
    parse(path, &read_file(path, most, FOLDER_ADVICE)?, expected)
}

/// The content of the bytes of the file `path`.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8], expected: &'static str) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| not_as_expected(path, &error, expected))
}

/// The error of bytes that are not JSON, or that are other JSON than expected.
pub(crate) fn not_as_expected(path: &Path, error: &serde_json::Error, expected: &'static str) -> Error {
    let text = told(error);
    wrong(path, if error.is_data() { text } else { format!("not valid JSON: {text}") }, expected)
}

/// The error of a JSON file that is not what was expected.
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
