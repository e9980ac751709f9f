//! The folders of the runs of a consensus, which `--keep-runs` writes beside the result.

use std::path::{Path, PathBuf};

use unmix_data::{Error, FitRecord, check_target, write_fit};

use crate::failure::Failure;

/// The folders of the runs: 01, 02 and so on, in the folder DIR.runs.
pub struct RunFolders {
    parent: PathBuf,
    runs: u32,
}

impl RunFolders {
    /// Beside the result in `out`.
    pub fn beside(out: &Path, runs: u32) -> Self {
        // There is no slash at the end of this path, so that the name can be made longer.
        let mut path: PathBuf = out.components().collect();
        if path.file_name().is_none() {
            path = path.canonicalize().unwrap_or(path);
        }
        let mut parent = path.into_os_string();
        parent.push(".runs");
        RunFolders { parent: parent.into(), runs }
    }

    /// The folder in which they are.
    pub fn parent(&self) -> &Path {
        &self.parent
    }

    /// The folder of each run.
    fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let width = self.runs.to_string().len().max(2);
        (1..=self.runs).map(move |run| self.parent.join(format!("{run:0width$}")))
    }

    /// Runs that are there already, of whatever number. They need not be runs that will be written.
    fn found(&self) -> Result<Vec<PathBuf>, Failure> {
        if self.parent.symlink_metadata().is_err() {
            return Ok(Vec::new());
        }
        if !self.parent.is_dir() {
            return Err(Failure::Usage(format!(
                "{}: is no folder, but the runs are kept in a folder of this name; move it away, choose another --out, or leave out \
                 --keep-runs",
                self.parent.display()
            )));
        }
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.parent).map_err(|error| self.failed("listing the folder", error))? {
            let entry = entry.map_err(|error| self.failed("listing the folder", error))?;
            if entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }

    /// Refuses runs that are there already unless they may be replaced. It creates nothing.
    pub fn check(&self, replace: bool) -> Result<(), Failure> {
        self.found()?.iter().try_for_each(|folder| Ok(check_target(folder, replace)?))
    }

    /// Writes runs. If earlier ones may be replaced, those that are not written anew are deleted, because they belong to another consensus.
    /// Returns the number of runs.
    pub fn write(&self, runs: impl Iterator<Item = FitRecord>, replace: bool) -> Result<usize, Failure> {
        let mut written = Vec::new();
        for (run, folder) in runs.zip(self.folders()) {
            std::fs::create_dir_all(&self.parent).map_err(|error| self.failed("creating", error))?;
            write_fit(&folder, &run, replace)?;
            written.push(folder);
        }
        for earlier in self.found()?.into_iter().filter(|folder| replace && !written.contains(folder)) {
            // Nothing but a fit is deleted, even if something else was put there meanwhile.
            check_target(&earlier, true)?;
            std::fs::remove_dir_all(&earlier).map_err(|error| self.failed("deleting an earlier run", error))?;
        }
        Ok(written.len())
    }

    fn failed(&self, action: &'static str, source: std::io::Error) -> Error {
        Error::Io { path: self.parent.clone(), action, source }
    }
}
