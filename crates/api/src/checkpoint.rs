//! The public side of checkpoints: the traits by which a caller stores them and gives them back, and their summary.

use std::fmt::Debug;
use std::io;

use serde::{Deserialize, Serialize};

use crate::{Error, Options};

/// A buffer in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointBuffer {
    /// Name of the buffer. Each buffer of a checkpoint has a name of its own.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Stores the checkpoints of a fit, one after the other. It is passed to [`SemiNmf::checkpoint`](crate::SemiNmf::checkpoint) or
/// [`Consensus::checkpoint`](crate::Consensus::checkpoint). A checkpoint consists of a header and some buffers. If a method returns an error,
/// the fit ends with [`Error::CheckpointWrite`].
pub trait CheckpointWriter: Send {
    /// Begins a checkpoint. `header` is JSON, and `buffers` lists the buffers in the order in which their bytes follow. The earlier
    /// checkpoint must stay as it is.
    ///
    /// # Errors
    /// If it cannot be stored.
    fn begin(&mut self, header: &str, buffers: &[CheckpointBuffer]) -> io::Result<()>;

    /// Stores the next bytes. The bytes of the first buffer come first, then those of the second, and so on. One call never has bytes of
    /// two buffers.
    ///
    /// # Errors
    /// If they cannot be stored.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Completes the checkpoint, which replaces the earlier one from now on. If the fit fails before all bytes are written, this is not
    /// called, and the unfinished checkpoint cannot be used.
    ///
    /// # Errors
    /// If it cannot be stored.
    fn finish(&mut self) -> io::Result<()>;
}

/// Reads a stored checkpoint. It is passed to [`SemiNmf::resume`](crate::SemiNmf::resume) or
/// [`Consensus::resume`](crate::Consensus::resume).
pub trait CheckpointReader: Send + Sync {
    /// The header that [`CheckpointWriter::begin`] was given.
    fn header(&self) -> &str;

    /// Fills `out` with the bytes of the buffer `name` that begin at byte `offset`.
    ///
    /// # Errors
    /// If there is no such buffer, if it ends before `out` is full, or if it cannot be read.
    fn read(&self, name: &str, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

/// Describes the fit that a checkpoint belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointSummary {
    /// The version of unmix that wrote the checkpoint. Only the same version can resume the fit.
    pub version: String,
    /// Engine of the fit: `cpu` or `gpu`.
    pub engine: String,
    /// Name of the adapter or the processor.
    pub adapter: String,
    /// Number of tokens n.
    pub tokens: u64,
    /// Number of neurons d.
    pub neurons: u32,
    /// Storage type of the activations: `f32`, `f16` or `bf16`.
    pub element: String,
    /// Options of the fit.
    pub options: Options,
    /// Number of iterations whose loss was known. It is 0 for a consensus, whose runs have no losses.
    pub iterations: u32,
    /// Seconds that the fit had taken when the checkpoint was written.
    pub seconds: f64,
    /// Number of segments of the tokens, over each of which sums are taken alone; 1 for a fit in one process.
    pub segments: u32,
    /// The runs of a consensus. `None` for one fit.
    pub runs: Option<CheckpointRuns>,
}

/// Describes the runs of the consensus that a checkpoint belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRuns {
    /// Number of runs.
    pub runs: u32,
    /// Number of iterations of each, if it was set.
    pub iterations: Option<u32>,
    /// Number of runs that had done the iterations after which the runs are compared.
    pub done: u32,
}

impl CheckpointSummary {
    /// Reads the summary in the header of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if `header` is not a header of a checkpoint, or if another version of unmix wrote it.
    pub fn of_header(header: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        let damaged = |error: serde_json::Error| Error::Checkpoint {
            problem: format!("its header cannot be read ({error}); start the fit anew"),
        };
        // Headers of other versions may differ, but every header has the version.
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

    /// As [`of_header`](Self::of_header), for one fit alone.
    pub(crate) fn of_one_fit(header: &str) -> Result<Self, Error> {
        let summary = Self::of_header(header)?;
        match &summary.runs {
            None => Ok(summary),
            Some(CheckpointRuns { runs, .. }) => Err(Error::Checkpoint {
                problem: format!("it belongs to a consensus of {runs} runs, and not to one fit; resume the consensus"),
            }),
        }
    }

    /// As [`of_header`](Self::of_header), for a consensus alone. Returns its runs as well.
    pub(crate) fn of_consensus(header: &str) -> Result<(Self, CheckpointRuns), Error> {
        let summary = Self::of_header(header)?;
        let problem = "it belongs to one fit, and not to a consensus of several runs; resume the fit".to_owned();
        let runs = summary.runs.clone().ok_or(Error::Checkpoint { problem })?;
        Ok((summary, runs))
    }
}

/// The part of a header that holds the summary.
#[derive(Deserialize)]
struct Of<T> {
    summary: T,
}
