//! A folder beside the place of a result. The result is built in it, and then takes its place.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Error;
use crate::place::Place;

/// File whose lock shows that the folder belongs to a living process.
pub const LOCK: &str = "lock";
/// The result that is being written. After an exchange, the earlier result.
pub const NEW: &str = "new";
/// The earlier result, if it cannot be exchanged with the new one in one step.
pub const OLD: &str = "old";

/// How often a folder is created again if another process takes it for a leftover before it is locked.
const ATTEMPTS: usize = 10;

/// A staging folder of this process. When dropped, it is deleted with everything in it.
#[derive(Debug)]
pub struct Staging {
    // This is closed first: on some file systems a folder with an open file cannot be deleted.
    _lock: Option<File>,
    folder: TempDir,
}

impl Staging {
    /// A new folder for the result in `place`.
    pub fn create(place: &Place) -> Result<Staging, Error> {
        let failed = |e| Error::io(&place.parent, "creating a temporary folder", e);
        for _ in 0..ATTEMPTS {
            let prefix = format!("{}{}-", prefix(place.name()), machine());
            let mut builder = tempfile::Builder::new();
            let folder = builder.prefix(&prefix).tempdir_in(&place.parent).map_err(failed)?;
            match lock(folder.path()) {
                // Between the creation of the folder and its lock, another process may have taken it for a leftover and
                // deleted it.
                Ok(Some(lock)) if folder.path().join(LOCK).exists() => {
                    return Ok(Staging { folder, _lock: Some(lock) });
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                // If files cannot be locked, no process takes a folder for a leftover.
                Err(e) if e.kind() == io::ErrorKind::Unsupported => return Ok(Staging { folder, _lock: None }),
                Err(e) => return Err(failed(e)),
            }
        }
        Err(failed(io::Error::other("other processes delete it again and again")))
    }

    /// Path where the result is built.
    pub fn new_result(&self) -> PathBuf {
        self.folder.path().join(NEW)
    }

    /// Puts the new folder in the place of the earlier one at `path`, so that one of them is there at any time.
    ///
    /// If the system or the file system cannot exchange names, this takes two renames. Between them nothing is there.
    /// If the process ends at that moment, [`settle`](crate::leftovers::settle) finishes the replacement.
    pub fn replace_folder(self, path: &Path) -> io::Result<Staging> {
        match exchange(&self.new_result(), path) {
            Ok(()) => Ok(self),
            Err(_) => self.replace_folder_by_two_renames(path),
        }
    }

    fn replace_folder_by_two_renames(self, path: &Path) -> io::Result<Staging> {
        let (new, old) = (self.new_result(), self.folder.path().join(OLD));
        match fs::rename(path, &old) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        if let Err(e) = fs::rename(&new, path) {
            if old.exists() && fs::rename(&old, path).is_err() {
                // These are the only copies of both results. They are kept for the next process that looks.
                let _ = self.folder.keep();
            }
            return Err(e);
        }
        Ok(self)
    }
}

/// The beginning of the names of staging folders for a result called `name`, whichever machine made them.
pub fn prefix(name: &OsStr) -> String {
    format!(".unmix-{}-", hash(name.as_encoded_bytes()))
}

/// Whether this is the name of a staging folder that was made on this machine, for any result.
pub fn is_of_this_machine(folder: &str) -> bool {
    let mut parts = folder.split('-');
    let known = parts.next() == Some(".unmix") && parts.next().is_some_and(|part| part.len() == HASH_DIGITS);
    known && parts.next() == Some(&machine()) && parts.next().is_some() && parts.next().is_none()
}

/// The lock of a staging folder, unless a living process has it. The error is of the kind `Unsupported` if files cannot
/// be locked.
pub fn lock(folder: &Path) -> io::Result<Option<File>> {
    let lock = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(io::Error::new(io::ErrorKind::Unsupported, e)),
    }
}

/// Digits of a hash. With 64 bits, two names in one folder do not collide.
const HASH_DIGITS: usize = 16;

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..HASH_DIGITS].to_owned()
}

/// A hash of the machine's name, because the locks of some network file systems hold on one machine only.
fn machine() -> String {
    let named = |variable| std::env::var_os(variable).map(OsString::into_encoded_bytes);
    let name =
        fs::read("/proc/sys/kernel/hostname").ok().or_else(|| named("COMPUTERNAME")).or_else(|| named("HOSTNAME"));
    hash(&name.unwrap_or_default())
}

/// Exchanges two names in one step.
fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    {
        let _ = (a, b);
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    impl Staging {
        /// Leaves the folder as a killed process does, and returns its path.
        pub(crate) fn abandon(self) -> PathBuf {
            self.folder.keep()
        }

        pub(crate) fn old_result(&self) -> PathBuf {
            self.folder.path().join(OLD)
        }
    }

    /// A place with an earlier result, and a staging folder with a new one.
    pub(crate) fn replacement(parent: &Path) -> (Place, Staging) {
        let path = parent.join("result");
        fs::create_dir_all(&path).expect("created");
        fs::write(path.join("earlier"), "").expect("written");
        let place = Place::of(&path).expect("a place");
        let staging = Staging::create(&place).expect("begun");
        fs::create_dir(staging.new_result()).expect("created");
        fs::write(staging.new_result().join("later"), "").expect("written");
        (place, staging)
    }

    pub(crate) fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = entries.map(|name| name.into_string().expect("UTF-8")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_replaced_with_and_without_an_exchange_of_names() {
        for replace in [Staging::replace_folder, Staging::replace_folder_by_two_renames] {
            let parent = tempfile::tempdir().expect("a folder");
            let (place, staging) = replacement(parent.path());
            drop(replace(staging, &place.path).expect("replaced"));
            assert_eq!(names(&place.path), ["later"]);
            assert_eq!(names(parent.path()), ["result"]);
        }
    }

    #[test]
    fn an_earlier_folder_that_has_gone_meanwhile_is_no_error() {
        let parent = tempfile::tempdir().expect("a folder");
        let (place, staging) = replacement(parent.path());
        fs::remove_dir_all(&place.path).expect("removed");
        drop(staging.replace_folder(&place.path).expect("put in its place"));
        assert_eq!(names(&place.path), ["later"]);
    }

    #[test]
    fn an_earlier_folder_comes_back_if_the_new_one_cannot_take_its_place() {
        let parent = tempfile::tempdir().expect("a folder");
        let (place, staging) = replacement(parent.path());
        fs::remove_dir_all(staging.new_result()).expect("removed");
        staging.replace_folder(&place.path).expect_err("nothing to put there");
        assert_eq!(names(&place.path), ["earlier"]);
        assert_eq!(names(parent.path()), ["result"]);
    }
}
