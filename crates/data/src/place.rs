//! Where a result goes: the path at the end of symbolic links, and the folder around it.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::Error;

/// Most symbolic links that are followed one after the other. Linux gives up after as many.
const MOST_LINKS: usize = 40;

/// A place for a file or a folder.
#[derive(Debug)]
pub struct Place {
    /// Its path. The last part of the path is not a symbolic link, because renaming onto a link would replace the link.
    pub path: PathBuf,
    /// The folder around it, which exists.
    pub parent: PathBuf,
    /// What is there already.
    pub found: Option<Metadata>,
}

impl Place {
    /// The place that `given` means. A symbolic link stands for the place that it leads to, whether or not anything is
    /// there.
    ///
    /// # Errors
    /// If the path names nothing that could be created, or the folder around it is missing.
    pub fn of(given: &Path) -> Result<Place, Error> {
        let bad = |problem| Error::BadTarget { path: given.to_owned(), problem };
        let found = match fs::metadata(given) {
            Ok(found) => Some(found),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) if e.kind() == ErrorKind::NotADirectory => {
                return Err(bad("a part of this path is a file; choose another"));
            }
            Err(_) if given.is_symlink() => {
                return Err(bad("this symbolic link cannot be followed; choose another path, or mend the link"));
            }
            Err(e) => return Err(Error::io(given, "looking at the path", e)),
        };
        // Only regular files and folders are replaced. The real path of a pipe, for example, could not be opened.
        let path = match &found {
            Some(found) if found.is_dir() || found.is_file() => {
                given.canonicalize().map_err(|e| Error::io(given, "resolving the path", e))?
            }
            _ => linked_to(given),
        };
        if path.file_name().is_none() {
            return Err(bad("this names nothing that can be created; end the path in a name"));
        }
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        if !parent.is_dir() {
            return Err(bad("the folder that this should lie in does not exist; create it first"));
        }
        Ok(Place { path, parent, found })
    }

    /// The last part of the path.
    pub fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }
}

/// The path at the end of the links that begin at `path`.
fn linked_to(path: &Path) -> PathBuf {
    // There is no slash at the end of this path, because with one the system would follow the link.
    let mut path: PathBuf = path.components().collect();
    for _ in 0..MOST_LINKS {
        let Ok(next) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("")).join(next);
    }
    path
}
