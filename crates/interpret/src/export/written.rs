//! What an export wrote, and how to tell the folder of an earlier export from a user's own folder.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use unmix_data::{Error, ResultFolder};

use super::ExportError;

/// A file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrittenFile {
    /// Path within the export's folder.
    pub name: PathBuf,
    /// Length.
    pub bytes: u64,
}

/// Most levels of folders within an export's folder.
const DEPTH: usize = 3;

/// Begins an export's folder. With `force` it replaces an earlier export, which must consist of files whose names
/// `ours` knows.
pub(super) fn begin(dir: &Path, force: bool, ours: impl Fn(&Path) -> bool) -> Result<ResultFolder, ExportError> {
    Ok(ResultFolder::create(dir, force, |dir| {
        match foreign(dir, Path::new(""), &ours).map_err(|source| Error::Io {
            path: dir.to_owned(),
            action: "listing the folder",
            source,
        })? {
            None => Ok(()),
            Some(name) => Err(Error::NotReplaceable {
                path: dir.to_owned(),
                found: format!("it holds {:?}, which is no file of this export", name.display().to_string()),
            }),
        }
    })?)
}

/// The first file below `root`/`within` whose path `ours` does not know, or the first folder that is too deep.
fn foreign(root: &Path, within: &Path, ours: &impl Fn(&Path) -> bool) -> std::io::Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(root.join(within))? {
        let entry = entry?;
        let name = within.join(entry.file_name());
        let found = if entry.file_type()?.is_dir() && name.components().count() <= DEPTH {
            foreign(root, &name, ours)?
        } else {
            Some(name).filter(|name| !ours(name))
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Writes a JSON file of many numbers, without blanks.
pub(super) fn write_numbers(
    folder: &ResultFolder,
    name: impl AsRef<Path>,
    value: &Value,
) -> Result<WrittenFile, ExportError> {
    let name = name.as_ref();
    let bytes = folder.write(name, |out| Ok(serde_json::to_writer(out, value)?))?;
    Ok(WrittenFile { name: name.to_owned(), bytes })
}

/// Writes a JSON file that people can read too.
pub(super) fn write_json(
    folder: &ResultFolder,
    name: impl AsRef<Path>,
    value: &Value,
) -> Result<WrittenFile, ExportError> {
    let name = name.as_ref();
    let bytes = folder.write(name, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        std::io::Write::write_all(out, b"\n")
    })?;
    Ok(WrittenFile { name: name.to_owned(), bytes })
}

/// f32 numbers as JSON, with only the digits that they need, rather than those of the equal f64 numbers.
pub(super) fn numbers(values: impl IntoIterator<Item = f32>) -> Vec<Value> {
    values.into_iter().map(number).collect()
}

/// A single one of [`numbers`].
pub(super) fn number(value: f32) -> Value {
    // The shortest decimal that is this f32. The f64 nearest to it is written with as few digits.
    Value::from(value.to_string().parse::<f64>().unwrap_or(f64::from(value)))
}
