//! Folders of results that are either complete or not there at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use crate::Error;
use crate::durable::{fill, sync_folder};
use crate::leftovers::settle;
use crate::place::Place;
use crate::staging::Staging;

/// A folder that is being written. Its files go to a folder beside its place, and [`finish`](Self::finish) puts that
/// folder in the place.
///
/// If it is dropped before that, it leaves nothing behind, and what was in its place is still there. If the process is
/// killed at any moment, the place holds either the earlier or the new folder, complete. Such a process may also leave
/// a folder whose name starts with `.unmix-`. It is removed when the next result is written or read beside it.
#[derive(Debug)]
pub struct ResultFolder {
    /// The path as it was given.
    dir: PathBuf,
    place: Place,
    staging: Staging,
}

impl ResultFolder {
    /// Begins the folder `dir`. A symbolic link stands for the folder that it leads to. If the folder exists already,
    /// it is replaced in the end, provided that `force` is set and `replaceable` allows it.
    ///
    /// # Errors
    /// If `dir` exists and may not be replaced, its parent is missing, or the system refuses to write there.
    pub fn create(
        dir: impl AsRef<Path>,
        force: bool,
        replaceable: impl Fn(&Path) -> Result<(), Error>,
    ) -> Result<ResultFolder, Error> {
        let dir = dir.as_ref().to_owned();
        settle(&Place::of(&dir)?);
        // The place is looked at again, because an interrupted replacement may have been finished.
        let place = Place::of(&dir)?;
        if let Some(found) = &place.found {
            if !force {
                return Err(Error::Exists(dir));
            }
            if !found.is_dir() {
                return Err(Error::NotReplaceable { path: dir, found: "it is no folder".to_owned() });
            }
            replaceable(&dir)?;
        }
        let staging = Staging::create(&place)?;
        let new = staging.new_result();
        fs::create_dir(&new).map_err(|e| Error::io(&new, "creating", e))?;
        Ok(ResultFolder { dir, place, staging })
    }

    /// Writes the file `name`, a path within the folder, flushes it to the disk and returns its length in bytes.
    ///
    /// # Errors
    /// If `name` leads out of the folder or was written before, or if the system refuses to write.
    pub fn write(
        &self,
        name: impl AsRef<Path>,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<u64, Error> {
        let name = name.as_ref();
        if name.file_name().is_none() || !name.components().all(|part| matches!(part, Component::Normal(_))) {
            let problem = "a file of a result must lie in its folder; give a relative path without `.` and `..`";
            return Err(Error::BadTarget { path: name.to_owned(), problem });
        }
        let path = self.staging.new_result().join(name);
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
        let ResultFolder { dir, place, staging } = self;
        let new = staging.new_result();
        sync_folder(&new)?;
        // This is kept until the end, because it holds the earlier folder from then on.
        let _staging = if place.found.is_some() {
            staging
                .replace_folder(&place.path)
                .map_err(|e| Error::io(&dir, "putting the folder in the place of the earlier one", e))?
        } else {
            fs::rename(&new, &place.path).map_err(|e| match e.kind() {
                // Another process was faster.
                std::io::ErrorKind::AlreadyExists | std::io::ErrorKind::DirectoryNotEmpty => Error::Exists(dir.clone()),
                _ => Error::io(&dir, "moving the folder into place", e),
            })?;
            staging
        };
        sync_folder(&place.parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_result_cannot_lie_outside_of_its_folder() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = ResultFolder::create(parent.path().join("result"), false, |_| Ok(())).expect("begun");
        let absolute = parent.path().join("absolute.txt");
        let outside = ["../escaped.txt", "a/../../escaped.txt", "..", ".", "./a", ""].map(Path::new);
        for name in outside.into_iter().chain([absolute.as_path()]) {
            let refused = folder.write(name, |out| out.write_all(b"x")).expect_err("refused");
            assert!(matches!(refused, Error::BadTarget { .. }), "{}: {refused}", name.display());
        }
        folder.write("within/it.txt", |out| out.write_all(b"x")).expect("written");
        folder.finish().expect("put in its place");
        let names: Vec<_> = fs::read_dir(parent.path()).expect("listed").flatten().map(|e| e.file_name()).collect();
        assert_eq!(names, ["result"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_means_the_folder_that_it_names() {
        let parent = tempfile::tempdir().expect("a folder");
        let link = parent.path().join("latest");
        std::os::unix::fs::symlink("run-1", &link).expect("linked");
        let folder = ResultFolder::create(&link, false, |_| Ok(())).expect("begun");
        folder.write("a.txt", |out| out.write_all(b"x")).expect("written");
        folder.finish().expect("put in its place");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert!(parent.path().join("run-1/a.txt").exists());
    }
}
