//! A mapped file, and whether it is still what it was when it was opened.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use memmap2::Mmap;

use crate::Error;
use crate::bus_errors::Watched;

/// A mapped file. Cheap to clone. The mapping ends when the last clone and the last of its bytes are dropped.
#[derive(Clone, Debug)]
pub(crate) struct MappedFile {
    /// All of the file.
    pub bytes: Bytes,
    opened: Arc<Opened>,
}

/// The file as it was opened.
#[derive(Debug)]
struct Opened {
    path: PathBuf,
    file: File,
    state: State,
    mapping: Arc<Mapping>,
}

#[derive(Debug)]
struct Mapping {
    // Fields are dropped in this order. A mapping must not end while it is watched.
    watched: Watched,
    map: Mmap,
}

/// What changes when a file is written to.
#[derive(Debug, PartialEq, Eq)]
struct State {
    bytes: u64,
    modified: Option<SystemTime>,
    /// When content, name or permissions were last changed. Unlike `modified`, nobody can set it back.
    changed: (i64, i64),
}

impl State {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let changed = {
            use std::os::unix::fs::MetadataExt;
            (metadata.ctime(), metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let changed = (0, 0);
        State { bytes: metadata.len(), modified: metadata.modified().ok(), changed }
    }
}

/// Makes bytes keep their mapping.
struct Owner(Arc<Mapping>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0.map
    }
}

impl MappedFile {
    /// Maps an open, regular file that is not empty.
    pub(crate) fn new(file: File, path: &Path) -> Result<Self, Error> {
        let state = file.metadata().map_err(|e| Error::io(path, "looking at the file", e))?;
        // SAFETY: the mapping is read-only and private to this value. Another process that changes the file meanwhile changes
        // the numbers read, and one that shortens it ends this process with a bus error, unless those are caught
        // (`catch_bus_errors`); no Rust value with invalid bit patterns can come of it, since all of it is read as plain bytes.
        // `ActivationFile::open` tells callers so.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(path, "mapping into memory", e))?;
        // If the file is not in memory yet, systems with large pages for files read it in such pages.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let mapping = Arc::new(Mapping { watched: Watched::new(&map, path), map });
        let bytes = Bytes::from_owner(Owner(Arc::clone(&mapping)));
        let opened = Opened { path: path.to_owned(), file, state: State::of(&state), mapping };
        Ok(MappedFile { bytes, opened: Arc::new(opened) })
    }

    /// Reads bytes from `offset` on by ordinary reads, which do not touch the mapping. So a file that was cut short is
    /// an error, and pages of the mapping take no memory.
    ///
    /// # Errors
    /// If the file no longer has such bytes, or the system fails to read them.
    pub(crate) fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let Opened { path, file, .. } = &*self.opened;
        read_exact_at(file, offset, out).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Error::CutShort(path.clone()),
            _ => Error::io(path, "reading", error),
        })
    }

    /// Whether another file has taken the place of this one since it was opened. A deleted file has not been replaced.
    pub(crate) fn is_replaced(&self) -> bool {
        let Opened { path, file, .. } = &*self.opened;
        match (std::fs::metadata(path), file.metadata()) {
            (Ok(there), Ok(opened)) => !is_same_file(&there, &opened),
            _ => false,
        }
    }

    /// Whether the file has been written to since it was opened, according to its size and its times.
    ///
    /// # Errors
    /// If it was cut short, or can no longer be looked at.
    pub(crate) fn is_touched(&self) -> Result<bool, Error> {
        let Opened { path, file, state, mapping } = &*self.opened;
        let now = file.metadata().map_err(|e| Error::io(path, "looking at the file", e))?;
        if now.len() < state.bytes || mapping.watched.is_broken() {
            return Err(Error::CutShort(path.clone()));
        }
        Ok(State::of(&now) != *state)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, offset)
}

/// Moves the file's cursor, which nothing else uses.
#[cfg(windows)]
fn read_exact_at(file: &File, mut offset: u64, mut out: &mut [u8]) -> std::io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, offset) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                out = &mut out[read..];
                offset += read as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(unix)]
fn is_same_file(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// On other systems a file cannot be replaced while it is mapped.
#[cfg(not(unix))]
fn is_same_file(_: &Metadata, _: &Metadata) -> bool {
    true
}
