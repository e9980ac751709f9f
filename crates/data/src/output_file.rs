//! Single files that are either complete or not there at all.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use tempfile::TempPath;

use crate::Error;
use crate::durable::{fill, sync_folder};
use crate::leftovers::settle;
use crate::place::Place;
use crate::staging::Staging;

/// Most bytes of a file in which its mark is looked for.
const HEAD_BYTES: u64 = 2048;

/// What tells the files of one kind that unmix writes from all other files.
#[derive(Clone, Copy, Debug)]
pub struct OwnFile {
    /// What such a file is, as in "not a page that unmix wrote".
    pub name: &'static str,
    /// A text among the first 2,048 bytes of each of them.
    pub mark: &'static str,
}

/// Writes the file `path`. It is built in a folder beside it, and gets its name once it is complete and on the disk.
/// With `force`, an earlier file of that name is replaced. Devices and the like are never replaced. A symbolic link
/// stands for the file that it leads to, whether or not that file exists.
///
/// # Errors
/// If something of that name exists and may not be replaced, its folder is missing, or the system refuses to write.
/// Nothing is left behind in that case.
pub fn write_file(
    path: impl AsRef<Path>,
    force: bool,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), Error> {
    let path = path.as_ref();
    let (place, staging) = begin(path, force)?;
    let new = staging.new_result();
    let file = File::create_new(&new).map_err(|e| Error::io(&new, "creating", e))?;
    fill(&file, path, write)?;
    drop(file);
    let placed = if force {
        fs::rename(&new, &place.path)
    } else {
        TempPath::try_from_path(new).and_then(|new| new.persist_noclobber(&place.path).map_err(|failed| failed.error))
    };
    match placed {
        Ok(()) => sync_folder(&place.parent),
        // Another process was faster.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Err(Error::FileExists(path.to_owned())),
        Err(e) => Err(Error::io(path, "moving the file into place", e)),
    }
}

/// Checks whether [`write_file`] to `path` would be allowed.
fn check_file_target(path: impl AsRef<Path>, force: bool) -> Result<(), Error> {
    // The best way to check permissions is to try. A staging folder that is dropped leaves nothing behind.
    begin(path.as_ref(), force).map(drop)
}

/// Checks whether [`write_file`] to `path` would be allowed, before the long work rather than after it. With `force`, nothing may be
/// replaced but an earlier file of the same kind, or an empty file. So a mistyped path does not cost a file of somebody else, such as the
/// activations themselves.
///
/// # Errors
/// As [`write_file`] for a file that may not be written or replaced, and if the file is of another kind.
pub fn check_own_file_target(path: impl AsRef<Path>, force: bool, own: &OwnFile) -> Result<(), Error> {
    let path = path.as_ref();
    check_file_target(path, force)?;
    if !force || !path.is_file() {
        return Ok(());
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    read.map_err(|error| Error::io(path, "reading", error))?;
    if head.is_empty() || String::from_utf8_lossy(&head).contains(own.mark) {
        return Ok(());
    }
    Err(Error::NotReplaceable { path: path.to_owned(), found: format!("it is not {} that unmix wrote", own.name) })
}

/// The place of the file, and a folder beside it in which the file is built.
fn begin(path: &Path, force: bool) -> Result<(Place, Staging), Error> {
    let bad = |problem| Err(Error::BadTarget { path: path.to_owned(), problem });
    let place = Place::of(path)?;
    match &place.found {
        Some(found) if found.is_dir() => {
            return bad("this is a folder, but a file is to be written; name a file in it");
        }
        Some(found) if !found.is_file() => {
            return bad("this is no regular file, and would be replaced by one; name another");
        }
        Some(_) if !force => return Err(Error::FileExists(path.to_owned())),
        _ => {}
    }
    settle(&place);
    let staging = Staging::create(&place)?;
    Ok((place, staging))
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
    fn only_a_file_of_the_same_kind_or_an_empty_one_is_replaced_when_forced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.txt");
        let own = OwnFile { name: "a note", mark: "a note of unmix" };
        check_own_file_target(&path, true, &own).expect("nothing is there");
        for (content, is_own) in [("", true), ("{a note of unmix}", true), ("years of work", false)] {
            fs::write(&path, content).expect("written");
            assert!(matches!(check_own_file_target(&path, false, &own), Err(Error::FileExists(_))), "{content}");
            match check_own_file_target(&path, true, &own) {
                Ok(()) => assert!(is_own, "{content}"),
                Err(Error::NotReplaceable { found, .. }) => {
                    assert!(!is_own && found == "it is not a note that unmix wrote", "{content}: {found}");
                }
                Err(other) => panic!("{content}: {other}"),
            }
        }
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
        for path in [folder.path(), &folder.path().join("none/a.txt"), Path::new(".."), Path::new("")] {
            assert!(matches!(check_file_target(path, true), Err(Error::BadTarget { .. })), "{}", path.display());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_the_file_behind_it_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let (link, target) = (folder.path().join("link.html"), folder.path().join("target.html"));
        std::os::unix::fs::symlink("target.html", &link).expect("linked");
        for (text, force) in [("to nothing as yet", false), ("again", true)] {
            check_file_target(&link, force).expect("allowed");
            write_file(&link, force, |out| out.write_all(text.as_bytes())).expect("written");
            assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
            assert_eq!(fs::read_to_string(&target).expect("read"), text);
        }
        assert!(matches!(check_file_target(&link, false), Err(Error::FileExists(_))));

        let circle = folder.path().join("circle.html");
        std::os::unix::fs::symlink("circle.html", &circle).expect("linked");
        assert!(matches!(check_file_target(&circle, true), Err(Error::BadTarget { .. })));
    }
}
