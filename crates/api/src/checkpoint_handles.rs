//! Shared handles to the caller's writer and reader of checkpoints. A builder and its clones use the same ones.

use std::fmt::{Debug, Formatter};
use std::sync::{Arc, Mutex};

use crate::checkpoint::{CheckpointReader, CheckpointWriter};

/// The caller's writer of checkpoints.
#[derive(Clone)]
pub(crate) struct SharedWriter(pub Arc<Mutex<dyn CheckpointWriter>>);

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
