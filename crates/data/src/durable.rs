//! What files and folders that are whole or not there at all have in common.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::Error;

/// Writes all of a new file and flushes it to the disk. Errors call it `path`.
pub fn fill(file: &File, path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), Error> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write(&mut out).and_then(|()| out.flush()).map_err(|e| Error::io(path, "writing", e))?;
    file.sync_all().map_err(|e| Error::io(path, "flushing to the disk", e))
}

/// Flushes the names in a folder, where the system lets folders be opened.
pub fn sync_folder(path: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        File::open(path)
            .and_then(|folder| folder.sync_all())
            .map_err(|e| Error::io(path, "flushing to the disk", e))?;
    }
    Ok(())
}

/// The folder, there already, in which `path` lies or is to lie. Errors call it `given`.
pub fn folder_of(path: &Path, given: &Path) -> Result<PathBuf, Error> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    if folder.is_dir() {
        return Ok(folder);
    }
    let problem = "the folder that this should lie in does not exist; create it first";
    Err(Error::BadTarget { path: given.to_owned(), problem })
}

/// A builder of temporary names with the permissions that a user's own files, or folders, get.
pub fn temporary(prefix: &str, mode: u32) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    builder
}
