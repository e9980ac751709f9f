//! The folders of the runs of a consensus, which `--keep-runs` writes beside the result.

use std::path::{Path, PathBuf};

use unmix_data::check_target;

use crate::failure::Failure;

/// The folders of the runs: 01, 02 and so on, in the folder DIR.runs.
pub struct RunFolders {
    parent: PathBuf,
    runs: u32,
}

impl RunFolders {
    /// Beside the result in `out`.
    pub fn beside(out: &Path, runs: u32) -> Self {
        let mut name = out.as_os_str().to_owned();
        name.push(".runs");
        RunFolders { parent: PathBuf::from(name), runs }
    }

    /// The folder of each run.
    pub fn folders(&self) -> impl Iterator<Item = PathBuf> {
        let width = self.runs.to_string().len();
        (1..=self.runs).map(move |run| self.parent.join(format!("{run:0width$}")))
    }

    /// Makes the folder that holds them, and refuses runs that are there already unless they may be replaced.
    pub fn prepare(&self, replace: bool) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.parent).map_err(|error| {
            Failure::Usage(format!("{}: the folder for the runs cannot be made ({error})", self.parent.display()))
        })?;
        self.folders().try_for_each(|folder| Ok(check_target(folder, replace)?))
    }
}
