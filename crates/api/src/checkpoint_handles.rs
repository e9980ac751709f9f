//! The callers' writer and reader of checkpoints, as a builder and its clones hold them.

use std::fmt::{Debug, Formatter};
use std::sync::{Arc, Mutex};

use crate::checkpoint::{CheckpointReader, CheckpointWriter};

/// A writer that a builder and its clones share.
#[derive(Clone)]
pub(crate) struct SharedWriter(pub Arc<Mutex<dyn CheckpointWriter>>);

impl Debug for SharedWriter {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("CheckpointWriter")
    }
}

/// A stored checkpoint that a builder and its clones share.
#[derive(Clone)]
pub(crate) struct SharedReader(pub Arc<dyn CheckpointReader>);

impl Debug for SharedReader {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("CheckpointReader")
    }
}
