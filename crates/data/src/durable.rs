//! Makes sure that bytes and names are on the disk, not only on their way to it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::{Error, check_mappings};

/// Writes all of a new file and flushes it to the disk, unless a mapped file has lost bytes meanwhile. Errors call the
/// file `path`.
pub fn fill(file: &File, path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), Error> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write(&mut out).and_then(|()| out.flush()).map_err(|e| Error::io(path, "writing", e))?;
    // A result is worth nothing if it comes from a file that has lost bytes since.
    check_mappings()?;
    file.sync_all().map_err(|e| Error::io(path, "flushing to the disk", e))
}

/// Flushes the names in a folder, if the system lets folders be opened.
pub fn sync_folder(path: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        File::open(path)
            .and_then(|folder| folder.sync_all())
            .map_err(|e| Error::io(path, "flushing to the disk", e))?;
    }
    Ok(())
}
