//! The folder of an unfinished fit: what was asked for, and the two latest checkpoints.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::durable::{fill, sync_folder};
use crate::place::Place;
use crate::staging::{LOCK, lock};

/// File of what was asked for.
const REQUEST: &str = "request.json";
/// Names of checkpoints begin with this. A number follows.
const CHECKPOINT: &str = "checkpoint-";
/// A file that is not complete yet.
const UNDER_WAY: &str = "under-way";
/// Number of checkpoints that are kept: the latest, and the one before it in case the latest is damaged.
const GENERATIONS: usize = 2;
/// Bytes of the hash at the end of a checkpoint.
const HASH_BYTES: u64 = blake3::OUT_LEN as u64;

/// The folder `DIR.partial` beside the place of a result. A fit leaves checkpoints there, from which it can go on.
///
/// A file in it gets its name only when it is complete and on the disk. So a process that is killed at any moment
/// leaves complete checkpoints or none. A lock shows whether a living process works on the folder.
#[derive(Debug)]
pub struct CheckpointFolder {
    path: PathBuf,
    request: Vec<u8>,
    /// Number of the next checkpoint.
    next: u64,
    /// Held once the folder exists, if the file system has locks.
    lock: Option<File>,
}

impl CheckpointFolder {
    /// The folder for the result `dir`.
    ///
    /// # Errors
    /// If `dir` names nothing that could be created.
    pub fn path_for(dir: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let place = Place::of(dir.as_ref())?;
        let mut name = OsString::from(place.name());
        name.push(".partial");
        Ok(place.parent.join(name))
    }

    /// The folder of a fit that begins. [`resume`](Self::resume) will give `request` back. Nothing is created before
    /// the first checkpoint. A folder without a checkpoint, which a killed process left, is deleted. With `force`, the
    /// checkpoints of an earlier fit are deleted as well.
    ///
    /// # Errors
    /// If an earlier fit left checkpoints there and `force` is not set, if a living process works on the folder, or if
    /// it holds something else.
    pub fn begin(dir: impl AsRef<Path>, request: Vec<u8>, force: bool) -> Result<CheckpointFolder, Error> {
        let dir = dir.as_ref();
        let path = Self::path_for(dir)?;
        if path.symlink_metadata().is_ok() {
            let held = lock_of(&path)?;
            if !checkpoints(&path)?.is_empty() && !force {
                return Err(Error::Unfinished { path, dir: dir.to_owned() });
            }
            delete(&path, held)?;
        }
        Ok(CheckpointFolder { path, request, next: 0, lock: None })
    }

    /// Opens the folder that an unfinished fit of the result `dir` left.
    ///
    /// # Errors
    /// If there is no checkpoint, a living process works on it, or the folder cannot be read.
    pub fn resume(dir: impl AsRef<Path>) -> Result<CheckpointFolder, Error> {
        let dir = dir.as_ref();
        let path = Self::path_for(dir)?;
        let none = || Error::NoCheckpoint { path: path.clone(), dir: dir.to_owned() };
        if path.symlink_metadata().is_err() {
            return Err(none());
        }
        let lock = lock_of(&path)?;
        let Some(&latest) = checkpoints(&path)?.last() else { return Err(none()) };
        let file = path.join(REQUEST);
        let request = fs::read(&file).map_err(|e| Error::io(&file, "reading", e))?;
        Ok(CheckpointFolder { path, request, next: latest + 1, lock })
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was asked for.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Adds a checkpoint whose bytes `write` writes, and deletes all but the two latest.
    ///
    /// # Errors
    /// If the system refuses to write. Earlier checkpoints are still intact in that case.
    pub fn save(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
        if !self.path.exists() {
            fs::create_dir(&self.path).map_err(|e| Error::io(&self.path, "creating", e))?;
            self.lock = lock_of(&self.path)?;
            let request = &self.request;
            self.write(REQUEST, |out| out.write_all(request))?;
        }
        self.write(&format!("{CHECKPOINT}{}", self.next), |out| {
            let mut hashing = Hashing { out, hasher: blake3::Hasher::new() };
            write(&mut hashing)?;
            let Hashing { out, hasher } = hashing;
            out.write_all(hasher.finalize().as_bytes())
        })?;
        self.next += 1;
        let all = checkpoints(&self.path)?;
        for old in &all[..all.len().saturating_sub(GENERATIONS)] {
            // A file that cannot be deleted does no harm.
            let _ = fs::remove_file(self.path.join(format!("{CHECKPOINT}{old}")));
        }
        Ok(())
    }

    /// The bytes of the latest undamaged checkpoint.
    ///
    /// # Errors
    /// If there is none.
    pub fn latest(&self) -> Result<impl Read + use<>, Error> {
        let mut problem = None;
        for number in checkpoints(&self.path)?.into_iter().rev() {
            let path = self.path.join(format!("{CHECKPOINT}{number}"));
            match undamaged(&path) {
                Ok(content) => return Ok(content),
                Err(error) => problem = problem.or(Some(Error::io(&path, "reading", error))),
            }
        }
        Err(problem.unwrap_or_else(|| Error::NotFound(self.path.clone())))
    }

    /// Deletes the folder: the fit is complete.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn remove(self) -> Result<(), Error> {
        if self.path.exists() { delete(&self.path, self.lock) } else { Ok(()) }
    }

    /// Writes a file that gets its name once it is complete.
    fn write(&self, name: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
        let (new, path) = (self.path.join(UNDER_WAY), self.path.join(name));
        let written = File::create(&new)
            .map_err(|e| Error::io(&new, "creating", e))
            .and_then(|file| fill(&file, &path, write))
            .and_then(|()| fs::rename(&new, &path).map_err(|e| Error::io(&path, "moving the file into place", e)));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written.and_then(|()| sync_folder(&self.path))
    }
}

/// Passes bytes on and hashes them.
struct Hashing<'a> {
    out: &'a mut dyn Write,
    hasher: blake3::Hasher,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A checkpoint's content, if it has the hash at its end.
fn undamaged(path: &Path) -> io::Result<io::Take<io::BufReader<File>>> {
    use std::io::Seek;

    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the checkpoint is damaged");
    let mut file = File::open(path)?;
    let length = file.metadata()?.len().checked_sub(HASH_BYTES).ok_or_else(damaged)?;
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut (&mut file).take(length), &mut hasher)?;
    let mut expected = [0; HASH_BYTES as usize];
    file.read_exact(&mut expected)?;
    if *hasher.finalize().as_bytes() != expected {
        return Err(damaged());
    }
    file.rewind()?;
    Ok(io::BufReader::with_capacity(1 << 20, file).take(length))
}

/// The lock of a folder of checkpoints, or `None` if files cannot be locked.
fn lock_of(path: &Path) -> Result<Option<File>, Error> {
    if !path.is_dir() {
        return Err(Error::NotReplaceable { path: path.to_owned(), found: "it is no folder".to_owned() });
    }
    match lock(path) {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(Error::InUse(path.to_owned())),
        Err(e) if e.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(e) => Err(Error::io(path, "locking", e)),
    }
}

/// The numbers of the complete checkpoints in a folder, ascending.
fn checkpoints(path: &Path) -> Result<Vec<u64>, Error> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(path).map_err(|e| Error::io(path, "listing the folder", e))? {
        let name = entry.map_err(|e| Error::io(path, "listing the folder", e))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(CHECKPOINT));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Deletes a folder of checkpoints, if it holds nothing else.
fn delete(path: &Path, lock: Option<File>) -> Result<(), Error> {
    for entry in fs::read_dir(path).map_err(|e| Error::io(path, "listing the folder", e))? {
        let name = entry.map_err(|e| Error::io(path, "listing the folder", e))?.file_name();
        let known = name.to_str().is_some_and(|name| {
            [REQUEST, UNDER_WAY, LOCK].contains(&name)
                || name.strip_prefix(CHECKPOINT).is_some_and(|number| number.parse::<u64>().is_ok())
        });
        if !known {
            let found = format!("besides checkpoints it holds {name:?}, which would be lost");
            return Err(Error::NotReplaceable { path: path.to_owned(), found });
        }
    }
    // On some file systems a folder with an open file cannot be deleted.
    let deleted = fs::remove_dir_all(path);
    drop(lock);
    deleted.or_else(|_| fs::remove_dir_all(path)).map_err(|e| Error::io(path, "deleting", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(folder: &mut CheckpointFolder, text: &str) {
        folder.save(|out| out.write_all(text.as_bytes())).expect("saved");
    }

    fn latest(folder: &CheckpointFolder) -> String {
        let mut text = String::new();
        folder.latest().expect("a checkpoint").read_to_string(&mut text).expect("text");
        text
    }

    #[test]
    fn a_fit_goes_on_from_its_latest_checkpoint_and_leaves_nothing_when_it_is_complete() {
        let parent = tempfile::tempdir().expect("a folder");
        let dir = parent.path().join("fit");
        let mut begun = CheckpointFolder::begin(&dir, b"asked".to_vec(), false).expect("begun");
        assert_eq!(fs::read_dir(parent.path()).expect("listed").count(), 0, "nothing before the first checkpoint");
        for text in ["one", "two", "three"] {
            saved(&mut begun, text);
        }
        assert_eq!(checkpoints(begun.path()).expect("listed"), [1, 2]);
        drop(begun);
        let mut resumed = CheckpointFolder::resume(&dir).expect("resumed");
        assert_eq!((resumed.request(), latest(&resumed).as_str()), (&b"asked"[..], "three"));
        saved(&mut resumed, "four");
        assert_eq!(latest(&resumed), "four");
        resumed.remove().expect("removed");
        assert_eq!(fs::read_dir(parent.path()).expect("listed").count(), 0);
        assert!(matches!(CheckpointFolder::resume(&dir), Err(Error::NoCheckpoint { .. })));
    }

    #[test]
    fn a_damaged_checkpoint_is_passed_over() {
        let parent = tempfile::tempdir().expect("a folder");
        let mut folder = CheckpointFolder::begin(parent.path().join("fit"), Vec::new(), false).expect("begun");
        saved(&mut folder, "one");
        saved(&mut folder, "two");
        fs::write(folder.path().join("checkpoint-1"), "cut short").expect("damaged");
        assert_eq!(latest(&folder), "one");
        fs::write(folder.path().join("checkpoint-0"), "").expect("damaged");
        assert!(folder.latest().is_err());
    }

    #[test]
    fn a_failed_checkpoint_leaves_the_earlier_one() {
        let parent = tempfile::tempdir().expect("a folder");
        let mut folder = CheckpointFolder::begin(parent.path().join("fit"), Vec::new(), false).expect("begun");
        saved(&mut folder, "one");
        let full = folder.save(|out| out.write_all(b"half").and_then(|()| Err(io::ErrorKind::StorageFull.into())));
        assert!(matches!(full, Err(Error::Io { .. })));
        assert_eq!(latest(&folder), "one");
        assert!(!folder.path().join(UNDER_WAY).exists());
        saved(&mut folder, "two");
        assert_eq!(latest(&folder), "two");
    }

    #[test]
    fn checkpoints_are_not_lost_by_a_new_fit_unless_it_is_forced() {
        let parent = tempfile::tempdir().expect("a folder");
        let dir = parent.path().join("fit");
        let mut first = CheckpointFolder::begin(&dir, Vec::new(), false).expect("begun");
        saved(&mut first, "one");
        assert!(matches!(CheckpointFolder::begin(&dir, Vec::new(), true), Err(Error::InUse(_))), "it is at work");
        drop(first);
        assert!(matches!(CheckpointFolder::begin(&dir, Vec::new(), false), Err(Error::Unfinished { .. })));
        let foreign = parent.path().join("fit.partial").join("notes.txt");
        fs::write(&foreign, "mine").expect("written");
        assert!(matches!(CheckpointFolder::begin(&dir, Vec::new(), true), Err(Error::NotReplaceable { .. })));
        fs::remove_file(foreign).expect("removed");
        CheckpointFolder::begin(&dir, Vec::new(), true).expect("replaced");
        assert_eq!(fs::read_dir(parent.path()).expect("listed").count(), 0);
    }

    #[test]
    fn a_folder_without_a_checkpoint_is_in_nobodys_way() {
        let parent = tempfile::tempdir().expect("a folder");
        let dir = parent.path().join("fit");
        // A process that is killed during its first checkpoint leaves this.
        let path = CheckpointFolder::path_for(&dir).expect("a place");
        fs::create_dir(&path).expect("created");
        for name in [REQUEST, UNDER_WAY, LOCK] {
            fs::write(path.join(name), "half").expect("written");
        }
        assert!(matches!(CheckpointFolder::resume(&dir), Err(Error::NoCheckpoint { .. })));
        CheckpointFolder::begin(&dir, Vec::new(), false).expect("begun");
        assert!(!path.exists());
    }
}
