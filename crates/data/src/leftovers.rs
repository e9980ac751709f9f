//! What killed processes left beside a result that they were writing.

use std::fs;
use std::io;
use std::path::Path;

use crate::place::Place;
use crate::staging::{LOCK, NEW, OLD, is_of_this_machine, lock, prefix};

/// Finishes an interrupted replacement of the result in `place`, and deletes what dead processes left beside it.
///
/// It touches only [staging folders](crate::staging), and only those whose lock no process holds. Staging folders for
/// other results must also have been made on this machine. What cannot be read or deleted stays, and does no harm.
pub fn settle(place: &Place) {
    // Two machines do not write the same result at a time, so it does not matter which of them left the folder.
    let of_place = prefix(place.name());
    let Ok(entries) = fs::read_dir(&place.parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let own = name.starts_with(&of_place);
        if own || is_of_this_machine(name) {
            let _ = sweep(&entry.path(), own.then_some(place.path.as_path()));
        }
    }
}

/// Deletes a staging folder, unless a living process has it or something else is in it. If it was for `result`, and
/// nothing is there because the process ended between two renames, the new result is put in its place first.
fn sweep(folder: &Path, result: Option<&Path>) -> io::Result<()> {
    if !is_staging(folder)? {
        return Ok(());
    }
    let Some(lock) = lock(folder)? else { return Ok(()) };
    if let Some(result) = result {
        let (new, old) = (folder.join(NEW), folder.join(OLD));
        let is_missing = fs::symlink_metadata(result).is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        if is_missing && old.is_dir() && new.is_dir() {
            fs::rename(new, result)?;
        }
    }
    // On some file systems a folder with an open file cannot be deleted.
    let deleted = fs::remove_dir_all(folder);
    drop(lock);
    deleted.or_else(|_| fs::remove_dir_all(folder))
}

/// Whether a folder holds only what a staging folder may hold.
fn is_staging(folder: &Path) -> io::Result<bool> {
    if !fs::symlink_metadata(folder)?.is_dir() {
        return Ok(false);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let known = match name.to_str() {
            Some(LOCK) => kind.is_file(),
            Some(NEW) => kind.is_file() || kind.is_dir(),
            Some(OLD) => kind.is_dir(),
            _ => false,
        };
        if !known {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staging::Staging;
    use crate::staging::tests::{names, replacement};

    #[test]
    fn a_replacement_that_ended_between_two_renames_is_finished() {
        let parent = tempfile::tempdir().expect("a folder");
        let (place, staging) = replacement(parent.path());
        fs::rename(&place.path, staging.old_result()).expect("moved");
        // As long as the process lives, it does this itself.
        settle(&place);
        assert!(!place.path.exists());
        staging.abandon();
        settle(&place);
        assert_eq!(names(&place.path), ["later"]);
        assert_eq!(names(parent.path()), ["result"]);
    }

    #[test]
    fn a_process_that_ended_before_or_after_the_replacement_leaves_nothing_for_long() {
        for replaced in [false, true] {
            let parent = tempfile::tempdir().expect("a folder");
            let (place, staging) = replacement(parent.path());
            let staging = if replaced { staging.replace_folder(&place.path).expect("replaced") } else { staging };
            staging.abandon();
            settle(&place);
            assert_eq!(names(&place.path), [if replaced { "later" } else { "earlier" }]);
            assert_eq!(names(parent.path()), ["result"]);
        }
    }

    #[test]
    fn a_result_that_was_moved_away_is_not_brought_back() {
        let parent = tempfile::tempdir().expect("a folder");
        let (place, staging) = replacement(parent.path());
        staging.abandon();
        fs::rename(&place.path, parent.path().join("elsewhere")).expect("moved");
        settle(&place);
        assert_eq!(names(parent.path()), ["elsewhere"]);
    }

    #[test]
    fn only_what_dead_processes_left_is_deleted() {
        let parent = tempfile::tempdir().expect("a folder");
        let at = |name: &str| Place::of(&parent.path().join(name)).expect("a place");
        let (place, other) = (at("result"), at("other"));
        Staging::create(&place).expect("begun").abandon();
        Staging::create(&other).expect("begun").abandon();
        // The process was killed before the lock existed.
        let unlocked = Staging::create(&place).expect("begun").abandon();
        fs::remove_file(unlocked.join(LOCK)).expect("removed");

        let living = Staging::create(&place).expect("begun");
        let with_notes = Staging::create(&other).expect("begun").abandon();
        fs::write(with_notes.join("notes.txt"), "mine").expect("written");
        for name in [".unmix-mine", ".unmix-new-1a2b3c", ".unmix", "fit"] {
            fs::create_dir(parent.path().join(name)).expect("created");
        }
        // It cannot be known from here whether its process lives, unless it was going to write this result.
        let of_machine = |place: &Place| format!("{}{}-abcdef", prefix(place.name()), "0".repeat(16));
        fs::create_dir(parent.path().join(of_machine(&other))).expect("created");
        fs::create_dir(parent.path().join(of_machine(&place))).expect("created");

        settle(&place);
        let name = |path: &Path| path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        let living_name = name(living.new_result().parent().expect("a folder"));
        let mut expected = [".unmix-mine", ".unmix-new-1a2b3c", ".unmix", "fit"].map(str::to_owned).to_vec();
        expected.extend([living_name, name(&with_notes), of_machine(&other)]);
        expected.sort();
        assert_eq!(names(parent.path()), expected);
    }
}
