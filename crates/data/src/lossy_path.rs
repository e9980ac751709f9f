//! Paths in JSON, for readers. Replacement characters stand for what is not UTF-8 in them.

use std::path::Path;

use serde::Serializer;

/// For `#[serde(serialize_with)]`.
pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}
