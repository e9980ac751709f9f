//! A lock that keeps other processes out of a folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::staging::{LOCK, lock};

/// The lock of a folder. Its file in the folder goes when this is dropped. A file that a killed process left is no lock.
#[derive(Debug)]
pub struct FolderLock {
    folder: PathBuf,
    /// Absent if the file system has no locks.
    file: Option<File>,
}

impl FolderLock {
    /// Name of the file that is locked, in the folder.
    pub const FILE: &str = LOCK;

    /// Takes the lock of an existing folder.
    ///
    /// # Errors
    /// [`Error::InUse`] if a living process has it, or if the system refuses.
    pub fn take(folder: &Path) -> Result<FolderLock, Error> {
        Ok(FolderLock { folder: folder.to_owned(), file: lock_or_refuse(folder)? })
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // On some systems an open file cannot be deleted.
        if self.file.take().is_some() {
            let _ = fs::remove_file(self.folder.join(LOCK));
        }
    }
}

/// The lock of a folder, or `None` if the file system has no locks.
pub(crate) fn lock_or_refuse(folder: &Path) -> Result<Option<File>, Error> {
    match lock(folder) {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(Error::InUse(folder.to_owned())),
        Err(e) if e.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(e) => Err(Error::io(folder, "locking", e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_as_long_as_its_lock_lives() {
        let folder = tempfile::tempdir().expect("a folder");
        let held = FolderLock::take(folder.path()).expect("free");
        assert!(matches!(FolderLock::take(folder.path()), Err(Error::InUse(path)) if path == folder.path()));
        drop(held);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
        fs::write(folder.path().join(LOCK), "").expect("written");
        drop(FolderLock::take(folder.path()).expect("left by a process that has ended"));
    }
}
