//! Shared handles to the caller's writer and reader of checkpoints. A builder and its clones use the same ones.

use std::fmt::{Debug, Formatter};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;
use crate::checkpoint::{CheckpointReader, CheckpointWriter};

/// The caller's writer of checkpoints.
#[derive(Clone)]
pub(crate) struct SharedWriter(pub Arc<Mutex<dyn CheckpointWriter>>);

impl SharedWriter {
    /// Calls the writer.
    pub fn call(&self, call: impl FnOnce(&mut dyn CheckpointWriter) -> io::Result<()>) -> Result<(), Error> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        call(&mut *writer).map_err(|error| Error::CheckpointWrite { problem: error.to_string() })
    }
}

impl Debug for SharedWriter {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("CheckpointWriter")
    }
}

/// The caller's reader of a stored checkpoint.
#[derive(Clone)]
pub(crate) struct SharedReader(pub Arc<dyn CheckpointReader>);

impl Debug for SharedReader {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("CheckpointReader")
    }
}

/// Fills `out` with the bytes of a buffer of a checkpoint that begin at byte `offset`.
pub(crate) fn read(checkpoint: &dyn CheckpointReader, name: &str, offset: u64, out: &mut [u8]) -> Result<(), Error> {
    checkpoint.read(name, offset, out).map_err(|error| Error::Checkpoint {
        problem: format!("`{name}` cannot be read from it ({error}); start the fit anew"),
    })
}
