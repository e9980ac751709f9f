//! Folders of results that are whole or not there at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::durable::{fill, folder_of, sync_folder, temporary};

/// A folder under way: its files go to a temporary folder beside it, which [`finish`](Self::finish) puts in its place.
///
/// Dropped before that, it leaves nothing behind, and what was in its place is still there. Replacing takes two renames:
/// should the machine stop between them, the earlier folder is found beside the new one under a name that starts with
/// `.unmix-old-`.
#[derive(Debug)]
pub struct ResultFolder {
    /// The path as it was given.
    dir: PathBuf,
    target: Target,
    temporary: tempfile::TempDir,
}

impl ResultFolder {
    /// Begins the folder `dir`. If there is one already, it is replaced in the end provided that `force` is set and
    /// `replaceable` finds no fault with it.
    ///
    /// # Errors
    /// If `dir` exists and may not be replaced, its parent is missing, or the system refuses to write there.
    pub fn create(
        dir: impl AsRef<Path>,
        force: bool,
        replaceable: impl Fn(&Path) -> Result<(), Error>,
    ) -> Result<ResultFolder, Error> {
        let dir = dir.as_ref().to_owned();
        let target = target(&dir, force, replaceable)?;
        let temporary = sibling(&target.parent, ".unmix-new-")?;
        Ok(ResultFolder { dir, target, temporary })
    }

    /// Writes the file `name`, a path within the folder, flushes it to the disk and returns its length in bytes.
    ///
    /// # Errors
    /// If it was written before or the system refuses to write.
    pub fn write(
        &self,
        name: impl AsRef<Path>,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<u64, Error> {
        let path = self.temporary.path().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| Error::io(parent, "creating", e))?;
        }
        let file = File::create_new(&path).map_err(|e| Error::io(&path, "creating", e))?;
        fill(&file, &path, write)?;
        if let Some(parent) = path.parent() {
            sync_folder(parent)?;
        }
        Ok(file.metadata().map_err(|e| Error::io(&path, "measuring", e))?.len())
    }

    /// Puts the folder in its place.
    ///
    /// # Errors
    /// If the system refuses, or a folder of that name has appeared meanwhile.
    pub fn finish(self) -> Result<(), Error> {
        let ResultFolder { dir, target, temporary } = self;
        sync_folder(temporary.path())?;
        if target.exists {
            let old = sibling(&target.parent, ".unmix-old-")?;
            let aside = old.path().join("earlier");
            fs::rename(&target.path, &aside).map_err(|e| Error::io(&dir, "moving the earlier folder aside", e))?;
            if let Err(e) = fs::rename(temporary.path(), &target.path) {
                // If even this fails, the earlier folder stays where it is rather than being deleted with its temporary one.
                if fs::rename(&aside, &target.path).is_err() {
                    let _ = old.keep();
                }
                return Err(Error::io(&dir, "moving the folder into place", e));
            }
        } else {
            fs::rename(temporary.path(), &target.path).map_err(|e| match e.kind() {
                // Someone else was faster.
                std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::DirectoryNotEmpty => Error::Exists(dir.clone()),
                _ => Error::io(&dir, "moving the folder into place", e),
            })?;
        }
        // Its name is gone, so there is nothing to delete any more.
        let _ = temporary.keep();
        sync_folder(&target.parent)
    }
}

/// Where the folder goes.
#[derive(Debug)]
struct Target {
    path: PathBuf,
    parent: PathBuf,
    exists: bool,
}

fn target(dir: &Path, force: bool, replaceable: impl Fn(&Path) -> Result<(), Error>) -> Result<Target, Error> {
    let bad = |problem| Error::BadTarget { path: dir.to_owned(), problem };
    let exists = match fs::symlink_metadata(dir) {
        Ok(_) => true,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => false,
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(bad("a part of this path is a file; choose another"));
        }
        Err(e) => return Err(Error::io(dir, "looking at the folder", e)),
    };
    if exists && !force {
        return Err(Error::Exists(dir.to_owned()));
    }
    let path = if exists {
        if !dir.is_dir() {
            return Err(Error::NotReplaceable { path: dir.to_owned(), found: "it is no folder".to_owned() });
        }
        replaceable(dir)?;
        // Through symbolic links: renaming onto a link would replace the link.
        dir.canonicalize().map_err(|e| Error::io(dir, "resolving the path", e))?
    } else {
        dir.to_owned()
    };
    if path.file_name().is_none() {
        return Err(bad("this names no folder that can be created; end the path in the folder's name"));
    }
    let parent = folder_of(&path, dir)?;
    Ok(Target { path, parent, exists })
}

/// A fresh folder on the same file system, deleted when dropped.
fn sibling(parent: &Path, prefix: &str) -> Result<tempfile::TempDir, Error> {
    temporary(prefix, 0o777).tempdir_in(parent).map_err(|e| Error::io(parent, "creating a temporary folder", e))
}
