//! The folder of an unfinished fit: how the fit began, and its two latest checkpoints.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::TempPath;
use unmix::{CheckpointBuffer, CheckpointReader, CheckpointWriter};

use crate::Error;
use crate::bus_errors::check_mappings;
use crate::durable::{fill, sync_folder};
use crate::folder_lock::lock_or_refuse;
use crate::place::Place;
use crate::regular_file::{MOST_RUN, read_file};
use crate::safetensors_writer::{Described, beginning};
use crate::staging::LOCK;
use crate::tensor_file::TensorFile;
use crate::tensor_opening::open as open_tensors;

/// Name of the file that says how the fit began.
const REQUEST: &str = "request.json";
/// Names of checkpoints begin with this. A number follows.
const CHECKPOINT: &str = "checkpoint-";
/// Name of a file that is not complete yet.
const UNDER_WAY: &str = "under-way";
/// Number of checkpoints that are kept: the latest, and the one before it in case the latest is damaged.
const GENERATIONS: usize = 2;
/// Bytes that are hashed at once.
const PIECE: usize = 1 << 20;
/// Key of the fit's header in a checkpoint's metadata.
const HEADER: &str = "header";
/// Name of the last tensor, which is the hash of all bytes before it.
const HASH: &str = "blake3";

/// The folder `DIR.partial` beside the result `DIR`. A fit leaves checkpoints there, from which it can go on.
///
/// A file in the folder gets its name only when it is complete and on the disk. So a process that is killed at any
/// moment leaves complete checkpoints or none. A lock shows whether a living process works on the folder.
///
/// A checkpoint is a safetensors file. Its tensors are the fit's buffers as bytes, and its metadata has the fit's
/// header. Its last tensor is the BLAKE3 hash of all bytes before it.
pub struct CheckpointFolder {
    path: PathBuf,
    request: Option<Request>,
    /// Number of the next checkpoint.
    next: u64,
    /// Held as long as the folder exists, if the file system has locks.
    lock: Option<File>,
    under_way: Option<UnderWay>,
    guard: Option<Guard>,
}

/// A check that a checkpoint must pass before it is completed.
type Guard = Box<dyn Fn() -> Result<(), Error> + Send>;

/// Makes the bytes that [`CheckpointFolder::request`] returns later. It is called at the first checkpoint.
type Request = Box<dyn FnOnce() -> Result<Vec<u8>, Error> + Send>;

/// A checkpoint that is being written. If it is dropped, the file is deleted.
struct UnderWay {
    file: TempPath,
    out: BufWriter<File>,
    hasher: blake3::Hasher,
}

impl CheckpointFolder {
    /// The path of the folder of checkpoints for the result `dir`.
    ///
    /// # Errors
    /// If `dir` is not a path at which a folder can be created.
    pub fn path_for(dir: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let place = Place::of(dir.as_ref())?;
        let mut name = OsString::from(place.name());
        name.push(".partial");
        Ok(place.parent.join(name))
    }

    /// The folder of a new fit. `request` returns what is needed to go on later, such as the options. It is called at
    /// the first checkpoint. Nothing is created before that. An old folder without a checkpoint, which a killed process
    /// left, is deleted. With `force`, an old folder with checkpoints is deleted as well.
    ///
    /// # Errors
    /// If an earlier fit left checkpoints there and `force` is not set, if a living process works on the folder, or if
    /// the folder holds something else.
    pub fn begin(
        dir: impl AsRef<Path>,
        force: bool,
        request: impl FnOnce() -> Result<Vec<u8>, Error> + Send + 'static,
    ) -> Result<CheckpointFolder, Error> {
        let dir = dir.as_ref();
        let path = Self::path_for(dir)?;
        if path.symlink_metadata().is_ok() {
            let held = lock_of(&path)?;
            if !checkpoints(&path)?.is_empty() && !force {
                return Err(Error::Unfinished { path, dir: dir.to_owned() });
            }
            delete(&path, held)?;
        }
        Ok(CheckpointFolder {
            path,
            request: Some(Box::new(request)),
            next: 0,
            lock: None,
            under_way: None,
            guard: None,
        })
    }

    /// Opens the folder that an unfinished fit of the result `dir` left, to add checkpoints to it.
    ///
    /// # Errors
    /// If there is no checkpoint, if a living process works on the folder, or if the folder cannot be read.
    pub fn resume(dir: impl AsRef<Path>) -> Result<CheckpointFolder, Error> {
        let mut folder = Self::read(dir)?;
        folder.lock = lock_of(&folder.path)?;
        Ok(folder)
    }

    /// Opens that folder to read from it, while another process of the same fit may add checkpoints to it.
    ///
    /// # Errors
    /// If there is no checkpoint, or if the folder cannot be read.
    pub fn read(dir: impl AsRef<Path>) -> Result<CheckpointFolder, Error> {
        let dir = dir.as_ref();
        let path = Self::path_for(dir)?;
        let none = || Error::NoCheckpoint { path: path.clone(), dir: dir.to_owned() };
        if path.symlink_metadata().is_err() {
            return Err(none());
        }
        let Some(&latest) = checkpoints(&path)?.last() else { return Err(none()) };
        Ok(CheckpointFolder { path, request: None, next: latest + 1, lock: None, under_way: None, guard: None })
    }

    /// Deletes the folder of the result `dir`, if there is one, because the fit is complete.
    ///
    /// # Errors
    /// If a living process works on the folder, if it holds something else, or if the system refuses.
    pub fn discard(dir: impl AsRef<Path>) -> Result<(), Error> {
        let path = Self::path_for(dir)?;
        if path.symlink_metadata().is_err() {
            return Ok(());
        }
        let held = lock_of(&path)?;
        delete(&path, held)
    }

    /// Sets a check that runs before each checkpoint is completed. If `guard` returns an error, the checkpoint is not
    /// completed. A checkpoint is worthless if the activations have changed.
    pub fn guarded_by(mut self, guard: impl Fn() -> Result<(), Error> + Send + 'static) -> CheckpointFolder {
        self.guard = Some(Box::new(guard));
        self
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes that the `request` of [`begin`](Self::begin) returned.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn request(&self) -> Result<Vec<u8>, Error> {
        read_file(self.path.join(REQUEST), MOST_RUN, "expected a file")
    }

    /// The latest undamaged checkpoint.
    ///
    /// # Errors
    /// If all checkpoints are damaged.
    pub fn latest(&self) -> Result<StoredCheckpoint, Error> {
        let mut problem = None;
        for number in checkpoints(&self.path)?.into_iter().rev() {
            match StoredCheckpoint::open(&self.path.join(format!("{CHECKPOINT}{number}"))) {
                Ok(checkpoint) => return Ok(checkpoint),
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        Err(problem.unwrap_or_else(|| Error::NotFound(self.path.clone())))
    }

    /// Creates the folder and writes the request into it.
    fn create(&mut self) -> Result<(), Error> {
        let Some(request) = self.request.take() else { return Ok(()) };
        let request = request()?;
        fs::create_dir(&self.path).map_err(|e| Error::io(&self.path, "creating", e))?;
        self.lock = lock_of(&self.path)?;
        let (new, path) = (self.new_file()?, self.path.join(REQUEST));
        let file = File::create(&new).map_err(|e| Error::io(&new, "creating", e))?;
        fill(&file, &path, |out| out.write_all(&request))?;
        place(new, &path)?;
        sync_folder(&self.path)
    }

    /// The path at which a file is written before it gets its name. The file is deleted when the path is dropped.
    fn new_file(&self) -> Result<TempPath, Error> {
        let path = self.path.join(UNDER_WAY);
        TempPath::try_from_path(&path).map_err(|e| Error::io(&path, "creating", e))
    }

    fn begin_checkpoint(&mut self, header: &str, buffers: &[CheckpointBuffer]) -> Result<(), Error> {
        self.create()?;
        let shapes: Vec<[usize; 1]> = buffers.iter().map(|buffer| [buffer.bytes as usize]).collect();
        let described = buffers.iter().zip(&shapes).map(|(buffer, shape)| (buffer.name.as_str(), &shape[..]));
        let tensors = described.chain([(HASH, &[blake3::OUT_LEN][..])]).map(|(name, shape)| Described {
            name,
            dtype: "U8",
            shape,
            bytes: shape[0],
        });
        let metadata = BTreeMap::from([("format", "unmix-checkpoint".to_owned()), (HEADER, header.to_owned())]);
        let beginning =
            beginning(tensors, &metadata).map_err(|e| Error::io(&self.path, "describing a checkpoint", e))?;
        let file = self.new_file()?;
        let out = File::create(&file).map_err(|e| Error::io(&file, "creating", e))?;
        let out = BufWriter::with_capacity(1 << 20, out);
        self.under_way = Some(UnderWay { file, out, hasher: blake3::Hasher::new() });
        self.add(&beginning)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(UnderWay { file, out, hasher }) = &mut self.under_way else { return Ok(()) };
        hasher.update(bytes);
        out.write_all(bytes).map_err(|e| Error::io(file, "writing", e))
    }

    fn finish_checkpoint(&mut self) -> Result<(), Error> {
        let Some(UnderWay { file, mut out, hasher }) = self.under_way.take() else { return Ok(()) };
        let written = out.write_all(hasher.finalize().as_bytes()).and_then(|()| out.flush());
        written.map_err(|e| Error::io(&file, "writing", e))?;
        // If a mapped file lost bytes, this checkpoint was computed from wrong numbers.
        check_mappings()?;
        self.guard.as_ref().map_or(Ok(()), |guard| guard())?;
        out.get_ref().sync_all().map_err(|e| Error::io(&file, "flushing to the disk", e))?;
        drop(out);
        place(file, &self.path.join(format!("{CHECKPOINT}{}", self.next)))?;
        sync_folder(&self.path)?;
        self.next += 1;
        let all = checkpoints(&self.path)?;
        for old in &all[..all.len().saturating_sub(GENERATIONS)] {
            // An old checkpoint that cannot be deleted does no harm.
            let _ = fs::remove_file(self.path.join(format!("{CHECKPOINT}{old}")));
        }
        Ok(())
    }
}

impl CheckpointWriter for CheckpointFolder {
    fn begin(&mut self, header: &str, buffers: &[CheckpointBuffer]) -> io::Result<()> {
        self.begin_checkpoint(header, buffers).map_err(io::Error::other)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.add(bytes).map_err(io::Error::other)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.finish_checkpoint().map_err(io::Error::other)
    }
}

/// A checkpoint in a file. Its hash has been checked.
#[derive(Debug)]
pub struct StoredCheckpoint {
    file: TensorFile,
}

impl StoredCheckpoint {
    fn open(path: &Path) -> Result<StoredCheckpoint, Error> {
        let file = open_tensors(path)?;
        if !has_own_hash(&file)? || !file.metadata.contains_key(HEADER) {
            return Err(Error::Damaged {
                path: path.to_owned(),
                format: "checkpoint",
                problem: "its content does not have the hash at its end".to_owned(),
            });
        }
        Ok(StoredCheckpoint { file })
    }
}

/// Whether the last bytes of a file are the hash of all before them. The file is read rather than mapped: pages of a
/// mapping would count as memory that the fit holds.
fn has_own_hash(file: &TensorFile) -> Result<bool, Error> {
    let Some(end) = file.file.bytes.len().checked_sub(blake3::OUT_LEN) else { return Ok(false) };
    let (mut hasher, mut piece) = (blake3::Hasher::new(), vec![0; PIECE]);
    for first in (0..end).step_by(PIECE) {
        let piece = &mut piece[..PIECE.min(end - first)];
        file.file.read_at(first as u64, piece)?;
        hasher.update(piece);
    }
    let mut hash = [0; blake3::OUT_LEN];
    file.file.read_at(end as u64, &mut hash)?;
    Ok(*hasher.finalize().as_bytes() == hash)
}

impl CheckpointReader for StoredCheckpoint {
    fn header(&self) -> &str {
        &self.file.metadata[HEADER]
    }

    fn read(&self, name: &str, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let missing = || io::Error::new(io::ErrorKind::UnexpectedEof, "the checkpoint does not hold these bytes");
        let range = &self.file.tensor(name).ok_or_else(missing)?.range;
        let end = offset.checked_add(out.len() as u64).ok_or_else(missing)?;
        if end > range.len() as u64 {
            return Err(missing());
        }
        self.file.file.read_at(range.start as u64 + offset, out).map_err(io::Error::other)
    }
}

/// Gives a complete file its name.
fn place(file: TempPath, path: &Path) -> Result<(), Error> {
    file.persist(path).map_err(|e| Error::io(path, "moving the file into place", e.error))
}

/// The lock of a folder of checkpoints, or `None` if the file system has no locks.
fn lock_of(path: &Path) -> Result<Option<File>, Error> {
    if !path.is_dir() {
        return Err(Error::NotReplaceable { path: path.to_owned(), found: "it is no folder".to_owned() });
    }
    lock_or_refuse(path)
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

/// Deletes a folder of checkpoints. It refuses if the folder holds anything else. The checkpoints are deleted first. So a process that is killed
/// meanwhile leaves a folder from which the fit can go on, or one without a checkpoint, which is in nobody's way.
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
    for number in checkpoints(path)? {
        let checkpoint = path.join(format!("{CHECKPOINT}{number}"));
        fs::remove_file(&checkpoint).map_err(|e| Error::io(&checkpoint, "deleting", e))?;
    }
    // On some file systems a folder with an open file cannot be deleted.
    let deleted = fs::remove_dir_all(path);
    drop(lock);
    deleted.or_else(|_| fs::remove_dir_all(path)).map_err(|e| Error::io(path, "deleting", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(dir: &Path, force: bool) -> Result<CheckpointFolder, Error> {
        CheckpointFolder::begin(dir, force, || Ok(b"asked".to_vec()))
    }

    fn save(folder: &mut CheckpointFolder, text: &str) -> io::Result<()> {
        let buffer = |name: &str| CheckpointBuffer { name: name.to_owned(), bytes: text.len() as u64 };
        folder.begin(&format!("header of {text}"), &[buffer("first one"), buffer("second")])?;
        folder.write(text.as_bytes())?;
        folder.write(text.to_uppercase().as_bytes())?;
        folder.finish()
    }

    fn latest(folder: &CheckpointFolder) -> String {
        let checkpoint = folder.latest().expect("a checkpoint");
        let text = checkpoint.header().strip_prefix("header of ").expect("its header").to_owned();
        let mut bytes = vec![0; text.len() - 1];
        checkpoint.read("second", 1, &mut bytes).expect("read");
        assert_eq!(bytes, text[1..].to_uppercase().as_bytes());
        checkpoint.read("second", 2, &mut bytes).expect_err("beyond the end");
        checkpoint.read("third", 0, &mut bytes).expect_err("no such buffer");
        text
    }

    #[test]
    fn a_fit_goes_on_from_its_latest_checkpoint_and_leaves_nothing_when_it_is_complete() {
        let parent = tempfile::tempdir().expect("a folder");
        let dir = parent.path().join("fit");
        let mut begun = begin(&dir, false).expect("begun");
        assert_eq!(fs::read_dir(parent.path()).expect("listed").count(), 0, "nothing before the first checkpoint");
        for text in ["one", "two", "three"] {
            save(&mut begun, text).expect("saved");
        }
        assert_eq!(checkpoints(&begun.path).expect("listed"), [1, 2]);
        drop(begun);
        let mut resumed = CheckpointFolder::resume(&dir).expect("resumed");
        assert_eq!((resumed.request().expect("read"), latest(&resumed).as_str()), (b"asked".to_vec(), "three"));
        save(&mut resumed, "four").expect("saved");
        assert_eq!(latest(&resumed), "four");
        drop(resumed);
        CheckpointFolder::discard(&dir).expect("removed");
        assert_eq!(fs::read_dir(parent.path()).expect("listed").count(), 0);
        assert!(matches!(CheckpointFolder::resume(&dir), Err(Error::NoCheckpoint { .. })));
        CheckpointFolder::discard(&dir).expect("there is none");
    }

    #[test]
    fn a_damaged_checkpoint_is_passed_over() {
        let parent = tempfile::tempdir().expect("a folder");
        let mut folder = begin(&parent.path().join("fit"), false).expect("begun");
        save(&mut folder, "one").expect("saved");
        save(&mut folder, "two").expect("saved");
        let path = folder.path.join("checkpoint-1");
        let whole = fs::read(&path).expect("read");
        for at in [9, whole.len() - 40, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).expect("damaged");
            assert_eq!(latest(&folder), "one", "byte {at}");
        }
        fs::write(folder.path.join("checkpoint-0"), "").expect("damaged");
        assert!(folder.latest().is_err());
    }

    #[test]
    fn a_checkpoint_that_is_not_completed_leaves_the_earlier_one() {
        let parent = tempfile::tempdir().expect("a folder");
        let dir = parent.path().join("fit");
        let mut folder = begin(&dir, false).expect("begun");
        save(&mut folder, "one").expect("saved");
        folder.begin("half", &[]).expect("begun");
        assert!(folder.path.join(UNDER_WAY).exists());
        drop(folder);
        let mut folder = CheckpointFolder::resume(&dir).expect("resumed");
        assert!(!folder.path.join(UNDER_WAY).exists());
        assert_eq!(latest(&folder), "one");
        save(&mut folder, "two").expect("saved");
        assert_eq!(latest(&folder), "two");
    }

    #[test]
    fn checkpoints_are_not_lost_by_a_new_fit_unless_it_is_forced() {
        let parent = tempfile::tempdir().expect("a folder");
        let dir = parent.path().join("fit");
        let mut first = begin(&dir, false).expect("begun");
        save(&mut first, "one").expect("saved");
        assert!(matches!(begin(&dir, true), Err(Error::InUse(_))), "it is at work");
        assert!(matches!(CheckpointFolder::resume(&dir), Err(Error::InUse(_))), "it is at work");
        drop(first);
        assert!(matches!(begin(&dir, false), Err(Error::Unfinished { .. })));
        let foreign = parent.path().join("fit.partial").join("notes.txt");
        fs::write(&foreign, "mine").expect("written");
        assert!(matches!(begin(&dir, true), Err(Error::NotReplaceable { .. })));
        fs::remove_file(foreign).expect("removed");
        begin(&dir, true).expect("replaced");
        assert_eq!(fs::read_dir(parent.path()).expect("listed").count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_deleted_completely_has_no_checkpoint_without_its_request() {
        let parent = tempfile::tempdir().expect("a folder");
        let dir = parent.path().join("fit");
        let mut folder = begin(&dir, false).expect("begun");
        save(&mut folder, "one").expect("saved");
        save(&mut folder, "two").expect("saved");
        let path = folder.path.clone();
        drop(folder);
        // A folder cannot be deleted as a file. A process that is killed at this point leaves the same.
        fs::rename(path.join("checkpoint-1"), path.join("checkpoint-2")).expect("renamed");
        fs::create_dir(path.join("checkpoint-1")).expect("created");
        assert!(matches!(CheckpointFolder::discard(&dir), Err(Error::Io { .. })));
        let left = CheckpointFolder::resume(&dir).expect("a checkpoint is left");
        assert_eq!((left.request().expect("read"), latest(&left).as_str()), (b"asked".to_vec(), "two"));
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
        begin(&dir, false).expect("begun");
        assert!(!path.exists());
    }
}
