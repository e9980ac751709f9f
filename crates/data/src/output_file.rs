//! Single files that are whole or not there at all.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::durable::{fill, folder_of, sync_folder, temporary};

/// Writes the file `path` through a temporary one beside it, which takes its name once it is complete and on the disk. With
/// `force`, an earlier file of that name is replaced; devices and the like never are.
///
/// # Errors
/// If something of that name exists and may not be replaced, its folder is missing, or the system refuses to write. Nothing
/// is left behind then.
pub fn write_file(
    path: impl AsRef<Path>,
    force: bool,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), Error> {
    let path = path.as_ref();
    let folder = checked_folder(path, force)?;
    let file = temporary(".unmix-new-", 0o666)
        .tempfile_in(&folder)
        .map_err(|e| Error::io(&folder, "creating a temporary file", e))?;
    fill(file.as_file(), path, write)?;
    let placed = if force { file.persist(path) } else { file.persist_noclobber(path) };
    match placed {
        Ok(_) => sync_folder(&folder),
        // Someone else was faster.
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => Err(Error::FileExists(path.to_owned())),
        Err(e) => Err(Error::io(path, "moving the file into place", e.error)),
    }
}

/// Whether [`write_file`] to `path` would be allowed, asked before the long work rather than after it.
///
/// # Errors
/// As [`write_file`] for a file that may not be written or replaced.
pub fn check_file_target(path: impl AsRef<Path>, force: bool) -> Result<(), Error> {
    let folder = checked_folder(path.as_ref(), force)?;
    // Permissions are best asked by trying.
    let attempt = temporary(".unmix-try-", 0o666).tempfile_in(&folder);
    attempt.map(drop).map_err(|e| Error::io(&folder, "creating a temporary file", e))
}

/// The folder that the file is to lie in.
fn checked_folder(path: &Path, force: bool) -> Result<PathBuf, Error> {
    let bad = |problem| Err(Error::BadTarget { path: path.to_owned(), problem });
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return bad("this is a folder, but a file is to be written; name a file in it"),
        Ok(found) if !found.is_file() => {
            return bad("this is no regular file, and would be replaced by one; name another");
        }
        Ok(_) if !force => return Err(Error::FileExists(path.to_owned())),
        _ => {}
    }
    if path.file_name().is_none() {
        return bad("this names no file that can be created; end the path in the file's name");
    }
    folder_of(path, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_and_replaced_only_when_forced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.txt");
        let write = |text: &'static str, force| write_file(&path, force, |out| out.write_all(text.as_bytes()));
        write("one", false).expect("written");
        assert!(matches!(write("two", false), Err(Error::FileExists(_))));
        assert!(matches!(check_file_target(&path, false), Err(Error::FileExists(_))));
        check_file_target(&path, true).expect("allowed");
        write("three", true).expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("read"), "three");
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.txt");
        fs::write(&path, "old").expect("written");
        let failed = write_file(&path, true, |out| {
            out.write_all(b"half")?;
            Err(std::io::Error::other("the disk is full"))
        });
        assert!(matches!(failed, Err(Error::Io { .. })));
        assert_eq!(fs::read_to_string(&path).expect("read"), "old");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_not_replaced() {
        assert!(matches!(check_file_target("/dev/null", true), Err(Error::BadTarget { .. })));
    }

    #[test]
    fn a_folder_or_a_missing_folder_is_no_target() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in [folder.path().to_owned(), folder.path().join("none/a.txt"), PathBuf::from("..")] {
            assert!(matches!(check_file_target(&path, true), Err(Error::BadTarget { .. })), "{}", path.display());
        }
    }
}
