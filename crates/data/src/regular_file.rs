//! Opens the files that a user names, whatever they turn out to be. Only regular files are read.
//!
//! Opening a pipe waits for its other end, and devices such as `/dev/zero` never end. So this module checks what a path
//! leads to before it opens the path. It checks again what it has opened, because the path may lead elsewhere by then.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::Error;

/// Most bytes of a file of labels, or of texts of tokens.
pub(crate) const MOST_TEXT: u64 = 1 << 30;
/// Most bytes of a vocabulary. Those of today's models have up to 35 million.
pub(crate) const MOST_VOCABULARY: u64 = 512 << 20;
/// Most bytes of a `run.json`, which grows with the number of features.
pub(crate) const MOST_RUN: u64 = 256 << 20;
/// Most bytes of a model's configuration, or of its index of shards.
pub(crate) const MOST_MODEL_JSON: u64 = 64 << 20;

/// Opens a regular file without waiting for anything, and returns its number of bytes as well. `folder` makes the error
/// if the path leads to a folder.
pub(crate) fn open(path: &Path, folder: impl Fn() -> Error) -> Result<(File, u64), Error> {
    let check = |found: &Metadata| match not_regular(found) {
        None => Ok(()),
        Some("a folder") => Err(folder()),
        Some(found) => Err(Error::NotAFile {
            path: path.to_owned(),
            found,
            advice: "only files on disk are read, so write it to one first",
        }),
    };
    check(&std::fs::metadata(path).map_err(|e| opening(path, e))?)?;
    let file = unblocked().open(path).map_err(|e| opening(path, e))?;
    let found = file.metadata().map_err(|e| Error::io(path, "looking at the file", e))?;
    check(&found)?;
    Ok((file, found.len()))
}

/// All bytes of a regular file of at least one byte and at most `most`. `folder_advice` says what to do if the path
/// leads to a folder.
///
/// # Errors
/// If there is no such file, if it is a folder, a device or a pipe, if it is empty or larger than `most`, or if the
/// system fails to read it.
pub fn read_file(path: impl AsRef<Path>, most: u64, folder_advice: &'static str) -> Result<Vec<u8>, Error> {
    let path = path.as_ref();
    let folder = || Error::NotAFile { path: path.to_owned(), found: "a folder", advice: folder_advice };
    let (file, size) = open(path, folder)?;
    let too_large = |found: u64| Error::TooLarge { path: path.to_owned(), found, most };
    if size > most {
        return Err(too_large(size));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    // The file may grow meanwhile. Files that the system makes up have no size.
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| Error::io(path, "reading", e))?;
    match bytes.len() as u64 {
        0 => Err(Error::Empty(path.to_owned())),
        found if found > most => Err(too_large(found)),
        _ => Ok(bytes),
    }
}

/// What something is that is not a regular file.
fn not_regular(found: &Metadata) -> Option<&'static str> {
    if found.is_file() {
        None
    } else if found.is_dir() {
        Some("a folder")
    } else {
        Some("a device or pipe")
    }
}

fn opening(path: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Error::NotFound(path.to_owned()),
        // No file can have such a name: it contains a zero byte or is too long.
        ErrorKind::InvalidInput | ErrorKind::InvalidFilename => Error::NotFound(path.to_owned()),
        _ => Error::io(path, "opening", error),
    }
}

/// Options that open for reading, and that return at once if the path leads to a pipe.
fn unblocked() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    options
}
