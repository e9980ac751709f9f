//! The input of a fit, and how it is written as JSON: a path need not be UTF-8, but JSON must.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unmix::ActivationSource;

use crate::ActivationFile;

/// Which activations were factorized.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "StoredInput", from = "StoredInput")]
pub struct InputRecord {
    /// The file; absent for activations from memory. In JSON what is not UTF-8 in it is shown by replacement characters, and
    /// on Unix `path_bytes` has the path's bytes as well, in hexadecimal digits.
    pub path: Option<PathBuf>,
    /// Name of the tensor; absent for npy files.
    pub tensor: Option<String>,
    /// [`fingerprint`](crate::fingerprint()) of the activations.
    pub fingerprint: String,
    /// Rows.
    pub tokens: u64,
    /// Columns.
    pub neurons: u64,
    /// `f32`, `f16` or `bf16`.
    pub element: String,
}

impl InputRecord {
    /// A record of `file`, whose fingerprint is known.
    pub fn of_file(file: &ActivationFile, fingerprint: String) -> InputRecord {
        InputRecord {
            path: Some(file.path().to_owned()),
            tensor: file.tensor().map(str::to_owned),
            fingerprint,
            tokens: file.tokens(),
            neurons: file.neurons(),
            element: file.element().name().to_owned(),
        }
    }
}

/// [`InputRecord`] with its path as text.
#[derive(Serialize, Deserialize)]
struct StoredInput {
    path: Option<String>,
    /// The path's bytes in hexadecimal digits, where the text does not tell them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    tensor: Option<String>,
    fingerprint: String,
    tokens: u64,
    neurons: u64,
    element: String,
}

impl From<InputRecord> for StoredInput {
    fn from(input: InputRecord) -> StoredInput {
        let InputRecord { path, tensor, fingerprint, tokens, neurons, element } = input;
        let path_bytes = path.as_deref().filter(|path| path.to_str().is_none()).and_then(hexadecimal);
        let path = path.map(|path| path.to_string_lossy().into_owned());
        StoredInput { path, path_bytes, tensor, fingerprint, tokens, neurons, element }
    }
}

impl From<StoredInput> for InputRecord {
    fn from(stored: StoredInput) -> InputRecord {
        let StoredInput { path, path_bytes, tensor, fingerprint, tokens, neurons, element } = stored;
        let exact = path_bytes.as_deref().and_then(from_hexadecimal);
        InputRecord { path: exact.or(path.map(PathBuf::from)), tensor, fingerprint, tokens, neurons, element }
    }
}

#[cfg(unix)]
fn hexadecimal(path: &Path) -> Option<String> {
    use std::os::unix::ffi::OsStrExt;
    Some(path.as_os_str().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(unix)]
fn from_hexadecimal(digits: &str) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |&[high, low]: &[u8; 2]| Some((16 * digit(high)? + digit(low)?) as u8);
    let bytes: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
    rest.is_empty().then(|| std::ffi::OsString::from_vec(bytes).into())
}

/// Elsewhere paths are no bytes.
#[cfg(not(unix))]
fn hexadecimal(_: &Path) -> Option<String> {
    None
}

#[cfg(not(unix))]
fn from_hexadecimal(_: &str) -> Option<PathBuf> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    fn input(path: &[u8]) -> InputRecord {
        InputRecord {
            path: Some(std::ffi::OsStr::from_bytes(path).into()),
            tensor: None,
            fingerprint: String::new(),
            tokens: 1,
            neurons: 1,
            element: "f32".to_owned(),
        }
    }

    #[test]
    fn paths_that_are_not_utf8_come_back_to_the_byte() {
        for (path, shown, has_bytes) in [
            (&b"caf\xe9/x.npy"[..], "caf\u{fffd}/x.npy", true),
            ("café.npy".as_bytes(), "café.npy", false),
            ("replaced \u{fffd}.npy".as_bytes(), "replaced \u{fffd}.npy", false),
        ] {
            let input = input(path);
            let json = serde_json::to_value(&input).expect("JSON");
            assert_eq!((json["path"].as_str(), json.get("path_bytes").is_some()), (Some(shown), has_bytes));
            assert_eq!(serde_json::from_value::<InputRecord>(json).expect("read"), input);
        }
    }

    #[test]
    fn bytes_that_are_none_leave_the_path_that_is_shown() {
        for digits in ["zz", "abc", "+1", "é"] {
            let json = serde_json::json!({"path": "shown.npy", "path_bytes": digits, "tensor": null, "fingerprint": "",
                "tokens": 1, "neurons": 1, "element": "f32"});
            let input: InputRecord = serde_json::from_value(json).expect("read");
            assert_eq!(input.path, Some("shown.npy".into()), "{digits}");
        }
    }
}
