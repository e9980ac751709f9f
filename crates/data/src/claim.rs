//! The claim of a fit without checkpoints on the place of its result.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::checkpoint_folder::{delete, lock_of};
use crate::{CheckpointFolder, Error};

/// Keeps other fits from the result `DIR` while a fit computes it that takes no checkpoints. It is the locked folder
/// `DIR.partial`. When dropped, the folder is deleted. A killed process leaves the folder without its lock, and then it
/// is in nobody's way.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    lock: Option<File>,
}

impl Claim {
    /// Creates and locks the folder of a new fit.
    ///
    /// # Errors
    /// If another process was faster, or if the system refuses.
    pub fn take(folder: &CheckpointFolder) -> Result<Claim, Error> {
        let path = folder.path().to_owned();
        fs::create_dir(&path).map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => Error::InUse(path.clone()),
            _ => Error::io(&path, "creating", e),
        })?;
        let lock = lock_of(&path)?;
        Ok(Claim { path, lock })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // A folder that stays does no harm: the next fit deletes it.
        let _ = delete(&self.path, self.lock.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_place_is_in_use_until_the_claim_is_dropped() {
        let parent = tempfile::tempdir().expect("a folder");
        let dir = parent.path().join("fit");
        let begin = |force| CheckpointFolder::begin(&dir, force, || Ok(Vec::new()));
        let (first, second) = (begin(false).expect("begun"), begin(false).expect("begun"));
        let claim = Claim::take(&first).expect("free");
        assert!(matches!(Claim::take(&second), Err(Error::InUse(_))));
        for force in [false, true] {
            assert!(matches!(begin(force), Err(Error::InUse(_))));
        }
        drop(claim);
        assert_eq!(fs::read_dir(parent.path()).expect("listed").count(), 0);
        drop(Claim::take(&second).expect("free again"));
    }
}
