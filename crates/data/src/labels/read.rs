//! Finds out in which form labels are written.

use std::path::Path;

use super::read_csv;
use super::read_json::{self, Problem};
use super::table::{Refusal, Table};
use crate::texts::told;

/// All labels of a file.
pub fn table(path: &Path, bytes: &[u8]) -> Result<Table, Refusal> {
    // Spreadsheets begin their files with a byte-order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let of = |form: &str| ending.as_deref() == Some(form);
    if of("csv") || !(matches!(first, Some(b'[' | b'{')) || of("json") || of("jsonl")) {
        return read_csv::table(bytes);
    }
    match read_json::document(bytes) {
        Ok(Some(table)) => Ok(table),
        // If one object spreads over several lines, the file cannot be JSON lines, so the error of the object is the
        // one to report.
        Err(Problem::Json(error))
            if first != Some(&b'{') || of("json") && !error.to_string().starts_with("trailing characters") =>
        {
            Err(Refusal::whole(format!("not valid JSON: {}", told(&error))))
        }
        Ok(None) | Err(Problem::Json(_)) => read_json::lines(bytes),
        Err(Problem::Refused(refusal)) => Err(refusal),
    }
}
