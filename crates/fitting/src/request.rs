//! How a fit began. It is kept beside the checkpoints so that the fit can go on.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use unmix_data::{CheckpointFolder, Error, InputRecord, StoredPath};

use crate::{Device, FitFailure, MemoryAllowance};

/// How a fit is to be computed and saved, beside the options that its checkpoints have.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Where to compute.
    pub device: Device,
    /// The memory that it may take.
    pub memory: MemoryAllowance,
    /// Least time between two checkpoints. If it is zero, none are taken.
    pub checkpoint_every: Duration,
    /// Fingerprint of the coefficients from which it starts, if they are given.
    pub init_coefficients: Option<String>,
    /// Whether the runs of a consensus are kept.
    pub keep_runs: bool,
    /// The command line, if there is one.
    pub command_line: Option<Vec<String>>,
}

impl Request {
    /// Least time between two checkpoints, unless another one is given.
    pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
}

/// The file `request.json` in the folder of checkpoints: how a fit began.
#[derive(Debug, Serialize, Deserialize)]
pub struct BegunFit {
    /// The working directory, to which relative paths refer.
    directory: StoredPath,
    /// The activations.
    pub input: InputRecord,
    /// How it is computed and saved.
    pub request: Request,
}

impl BegunFit {
    /// A fit that begins now, in this process, as JSON.
    ///
    /// # Errors
    /// If the working directory is gone.
    pub fn beginning(input: InputRecord, request: Request) -> Result<Vec<u8>, Error> {
        let directory = std::env::current_dir().map_err(|source| Error::Io {
            path: ".".into(),
            action: "looking up the working directory",
            source,
        })?;
        let begun = BegunFit { directory: StoredPath::from(&*directory), input, request };
        // Text and numbers can always be written as JSON.
        Ok(serde_json::to_vec_pretty(&begun).unwrap_or_default())
    }

    /// Reads how the fit began whose checkpoints are in `folder`.
    ///
    /// # Errors
    /// If the file cannot be read, or says something else.
    pub fn read(folder: &CheckpointFolder) -> Result<BegunFit, FitFailure> {
        serde_json::from_slice(&folder.request()?).map_err(|problem| FitFailure::Folder {
            path: folder.path().to_owned(),
            problem: format!(
                "what the fit was asked for cannot be read ({problem}); delete this folder, and start the fit anew"
            ),
        })
    }

    /// Changes to the working directory in which the fit began, so that relative paths mean what they meant then.
    ///
    /// # Errors
    /// If it cannot be entered.
    pub fn enter_directory(&self) -> Result<(), FitFailure> {
        let directory = PathBuf::from(self.directory.clone());
        std::env::set_current_dir(&directory).map_err(|error| FitFailure::Folder {
            path: directory,
            problem: format!(
                "the fit began in this folder, which cannot be entered any more ({error}); put it back, or start the fit anew"
            ),
        })
    }
}
