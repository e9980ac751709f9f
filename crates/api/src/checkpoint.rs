//! Checkpoints as a caller sees them: what is written and read, and by whom.

use std::fmt::Debug;
use std::io;

use serde::{Deserialize, Serialize};

use crate::{Error, Options};

/// A buffer in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointBuffer {
    /// What it holds. No two buffers of a checkpoint have one name.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Stores the checkpoints of a fit, one after the other, for [`SemiNmf::checkpoint`](crate::SemiNmf::checkpoint). A checkpoint is a
/// header and some buffers. An error ends the fit.
pub trait CheckpointWriter: Send {
    /// Begins a checkpoint with this header, which is JSON, and these buffers. The earlier checkpoint must stay as it is.
    ///
    /// # Errors
    /// If it cannot be stored.
    fn begin(&mut self, header: &str, buffers: &[CheckpointBuffer]) -> io::Result<()>;

    /// Takes the next bytes: those of the first buffer, then those of the second, and so on. A call never gives bytes of two buffers.
    ///
    /// # Errors
    /// If they cannot be stored.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Completes the checkpoint, which from now on takes the place of the earlier one. It is not called if the fit fails before all
    /// bytes are there; then the unfinished checkpoint is worthless.
    ///
    /// # Errors
    /// If it cannot be stored.
    fn finish(&mut self) -> io::Result<()>;
}

/// Gives back a stored checkpoint, for [`SemiNmf::resume`](crate::SemiNmf::resume).
pub trait CheckpointReader: Send + Sync {
    /// The header that [`CheckpointWriter::begin`] was given.
    fn header(&self) -> &str;

    /// Reads bytes of the buffer `name`, from its byte `offset` on, until `out` is full.
    ///
    /// # Errors
    /// If there is no such buffer, it ends before, or it cannot be read.
    fn read(&self, name: &str, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

/// What a checkpoint is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointSummary {
    /// The version of unmix that wrote it, which is the only one that can go on from it.
    pub version: String,
    /// `cpu` or `gpu`.
    pub engine: String,
    /// The adapter's or processor's name.
    pub adapter: String,
    /// Tokens n.
    pub tokens: u64,
    /// Neurons d.
    pub neurons: u32,
    /// Storage type of the activations: `f32`, `f16` or `bf16`.
    pub element: String,
    /// What was asked for.
    pub options: Options,
    /// Iterations whose loss was known.
    pub iterations: u32,
    /// Seconds that the fit had taken.
    pub seconds: f64,
}

impl CheckpointSummary {
    /// Reads the header of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if it is none, or one of another version.
    pub fn of_header(header: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        let damaged = |error: serde_json::Error| Error::Checkpoint {
            problem: format!("its header cannot be read ({error}); start the fit anew"),
        };
        // Other versions may have other headers, but all have this.
        let Of { summary: Version { version } } = serde_json::from_str(header).map_err(damaged)?;
        let own = env!("CARGO_PKG_VERSION");
        if version != own {
            let problem = format!(
                "version {version} of unmix wrote it, and this is {own}; resume with that version, or start the fit anew"
            );
            return Err(Error::Checkpoint { problem });
        }
        let Of { summary } = serde_json::from_str(header).map_err(damaged)?;
        Ok(summary)
    }
}

/// The part of a header that is a summary.
#[derive(Deserialize)]
struct Of<T> {
    summary: T,
}
