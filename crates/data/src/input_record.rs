//! The input of a fit, and how it is written as JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use unmix::ActivationSource;

use crate::{ActivationSet, MemoryActivations, Origin, StoredPath, TokenFilter};

/// Which activations were factorized.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "StoredInput", from = "StoredInput")]
pub struct InputRecord {
    /// The files, in order. None for activations from memory. In JSON, `path` is the only file, and `files` are
    /// several. Replacement characters stand for what is not UTF-8 in a path. On Unix, `path_bytes` (`file_bytes` for
    /// several files) also has the bytes of the path, in hexadecimal digits.
    pub paths: Vec<PathBuf>,
    /// Rows of the files, including those that were left out.
    pub stored_tokens: u64,
    /// Which tokens were to be left out.
    pub filter: TokenFilter,
    /// The place in the model that the activations are from.
    pub origin: Origin,
    /// Name of the tensor. Absent for npy files.
    pub tensor: Option<String>,
    /// [`fingerprint`](crate::fingerprint()) of the activations.
    pub fingerprint: String,
    /// Rows that were factorized.
    pub tokens: u64,
    /// Columns.
    pub neurons: u64,
    /// `f32`, `f16` or `bf16`.
    pub element: String,
}

impl InputRecord {
    /// A record of `activations`, whose fingerprint is known.
    pub fn new(activations: &ActivationSet, fingerprint: String) -> InputRecord {
        let files = activations.files();
        InputRecord {
            paths: files.iter().map(|file| file.path().to_owned()).collect(),
            stored_tokens: activations.stored_tokens(),
            filter: activations.filter().clone(),
            origin: Origin::of(files),
            // All files have it under the same name.
            tensor: files[0].tensor().map(str::to_owned),
            fingerprint,
            tokens: activations.tokens(),
            neurons: activations.neurons(),
            element: activations.element().name().to_owned(),
        }
    }

    /// A record of activations that came from memory, whose fingerprint is known.
    pub fn of_memory(activations: &MemoryActivations, fingerprint: String) -> InputRecord {
        InputRecord {
            paths: Vec::new(),
            stored_tokens: activations.tokens(),
            filter: TokenFilter::default(),
            origin: Origin::default(),
            tensor: None,
            fingerprint,
            tokens: activations.tokens(),
            neurons: activations.neurons(),
            element: activations.element().name().to_owned(),
        }
    }
}

/// [`InputRecord`] with its paths as text.
#[derive(Serialize, Deserialize)]
struct StoredInput {
    /// The only file.
    path: Option<String>,
    /// The path's bytes in hexadecimal digits, if the text does not show them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    /// Several files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<StoredPath>,
    /// Absent if the files do not say it.
    #[serde(default, skip_serializing_if = "Origin::is_empty")]
    origin: Origin,
    tensor: Option<String>,
    fingerprint: String,
    tokens: u64,
    /// Absent if no row was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stored_tokens: Option<u64>,
    /// Absent if no tokens were to be left out.
    #[serde(default, skip_serializing_if = "TokenFilter::is_empty")]
    filter: TokenFilter,
    neurons: u64,
    element: String,
}

impl From<InputRecord> for StoredInput {
    fn from(input: InputRecord) -> StoredInput {
        let InputRecord { paths, stored_tokens, filter, origin, tensor, fingerprint, tokens, neurons, element } = input;
        let mut files: Vec<StoredPath> = paths.iter().map(|path| StoredPath::from(&**path)).collect();
        let (path, path_bytes) = match files.len() {
            1 => files.pop().map_or((None, None), |StoredPath { path, path_bytes }| (Some(path), path_bytes)),
            _ => (None, None),
        };
        let stored_tokens = (stored_tokens != tokens).then_some(stored_tokens);
        StoredInput {
            path,
            path_bytes,
            files,
            origin,
            tensor,
            fingerprint,
            tokens,
            stored_tokens,
            filter,
            neurons,
            element,
        }
    }
}

impl From<StoredInput> for InputRecord {
    fn from(stored: StoredInput) -> InputRecord {
        let StoredInput {
            path,
            path_bytes,
            files,
            origin,
            tensor,
            fingerprint,
            tokens,
            stored_tokens,
            filter,
            neurons,
            element,
        } = stored;
        let only = path.map(|path| StoredPath { path, path_bytes });
        let paths = only.into_iter().chain(files).map(PathBuf::from).collect();
        let stored_tokens = stored_tokens.unwrap_or(tokens);
        InputRecord { paths, stored_tokens, filter, origin, tensor, fingerprint, tokens, neurons, element }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    fn input(paths: &[&[u8]]) -> InputRecord {
        InputRecord {
            paths: paths.iter().map(|path| std::ffi::OsStr::from_bytes(path).into()).collect(),
            stored_tokens: 1,
            filter: TokenFilter::default(),
            origin: Origin::default(),
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
            let input = input(&[path]);
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
            assert_eq!(input.paths, [PathBuf::from("shown.npy")], "{digits}");
        }
    }

    #[test]
    fn several_files_come_back_in_their_order() {
        let filter = TokenFilter { skip_first: 2, keep: Some("good".to_owned()), ..TokenFilter::default() };
        for paths in [&[][..], &[&b"b.npy"[..], b"a.npy"], &[b"caf\xe9.npy", b"x", b"y"]] {
            let input = InputRecord { stored_tokens: 9, filter: filter.clone(), ..input(paths) };
            let json = serde_json::to_value(&input).expect("JSON");
            assert_eq!((&json["path"], &json["stored_tokens"]), (&serde_json::Value::Null, &9.into()));
            assert_eq!(serde_json::from_value::<InputRecord>(json).expect("read"), input);
        }
    }
}
