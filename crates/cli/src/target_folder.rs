//! Whether a fit can be written where it should go, asked before the long work rather than after it.

use std::path::Path;

use unmix_data::{Error, FACTORIZATION_FILE, RUN_FILE};

/// Checks that `unmix_data::write_fit` to `dir` would be allowed. What changes meanwhile it finds out itself.
pub fn check(dir: &Path, force: bool) -> Result<(), Error> {
    let bad = |problem| Err(Error::BadTarget { path: dir.to_owned(), problem });
    if dir.symlink_metadata().is_ok() {
        if !force {
            return Err(Error::Exists(dir.to_owned()));
        }
        check_replaceable(dir)?;
    }
    if dir.file_name().is_none() {
        return bad("this names no folder that can be created; end the path in the folder's name");
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.is_dir() {
        return bad("the folder that this should lie in does not exist; create it first");
    }
    // Permissions are best asked by trying.
    match tempfile::Builder::new().prefix(".unmix-try-").tempdir_in(parent) {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Io { path: parent.to_owned(), action: "creating a folder in it", source }),
    }
}

fn check_replaceable(dir: &Path) -> Result<(), Error> {
    let refuse = |found: String| Err(Error::NotReplaceable { path: dir.to_owned(), found });
    if !dir.is_dir() {
        return refuse("it is no folder".to_owned());
    }
    let listing = |source| Error::Io { path: dir.to_owned(), action: "listing the folder", source };
    for entry in std::fs::read_dir(dir).map_err(listing)? {
        let name = entry.map_err(listing)?.file_name();
        if name != FACTORIZATION_FILE && name != RUN_FILE {
            return refuse(format!("it holds {:?}, which is no part of a fit", name.to_string_lossy()));
        }
    }
    Ok(())
}
