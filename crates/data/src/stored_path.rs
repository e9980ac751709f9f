//! Paths in JSON that come back to the byte. A path need not be UTF-8, but JSON must be.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A path as JSON has it. Replacement characters stand for what is not UTF-8 in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPath {
    /// The path as it is shown.
    pub path: String,
    /// On Unix, the bytes of the path in hexadecimal digits, if the text does not show them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_bytes: Option<String>,
}

impl From<&Path> for StoredPath {
    fn from(path: &Path) -> StoredPath {
        let path_bytes = if path.to_str().is_none() { hexadecimal(path) } else { None };
        StoredPath { path: path.to_string_lossy().into_owned(), path_bytes }
    }
}

impl From<StoredPath> for PathBuf {
    fn from(StoredPath { path, path_bytes }: StoredPath) -> PathBuf {
        path_bytes.as_deref().and_then(from_hexadecimal).unwrap_or_else(|| path.into())
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

/// On other systems, paths are not bytes.
#[cfg(not(unix))]
fn hexadecimal(_: &Path) -> Option<String> {
    None
}

#[cfg(not(unix))]
fn from_hexadecimal(_: &str) -> Option<PathBuf> {
    None
}
