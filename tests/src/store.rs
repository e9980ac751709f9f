//! Checkpoints in memory.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use unmix::{CheckpointBuffer, CheckpointReader, CheckpointWriter};

/// A checkpoint in memory.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Its header.
    pub header: String,
    /// The bytes of each buffer.
    pub buffers: HashMap<String, Vec<u8>>,
}

impl CheckpointReader for Stored {
    fn header(&self) -> &str {
        &self.header
    }

    fn read(&self, name: &str, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let bytes = self.buffers.get(name).ok_or_else(missing)?;
        out.copy_from_slice(bytes.get(offset as usize..offset as usize + out.len()).ok_or_else(missing)?);
        Ok(())
    }
}

/// Keeps every checkpoint, and checks that the fit calls it as the trait says.
#[derive(Clone, Default)]
pub struct Store {
    complete: Arc<Mutex<Vec<Stored>>>,
    buffers: Vec<CheckpointBuffer>,
    unfinished: Stored,
    /// If set, writing fails after this number of complete checkpoints.
    room: Option<usize>,
}

impl Store {
    /// A store whose writing fails after this number of complete checkpoints.
    pub fn with_room(checkpoints: usize) -> Self {
        Store { room: Some(checkpoints), ..Store::default() }
    }

    /// All complete checkpoints, the oldest first.
    ///
    /// # Panics
    /// If a writer has panicked.
    pub fn all(&self) -> Vec<Stored> {
        self.complete.lock().unwrap().clone()
    }
}

impl CheckpointWriter for Store {
    fn begin(&mut self, header: &str, buffers: &[CheckpointBuffer]) -> io::Result<()> {
        self.buffers = buffers.to_vec();
        self.buffers.reverse();
        let names = buffers.iter().map(|buffer| (buffer.name.clone(), Vec::new()));
        self.unfinished = Stored { header: header.to_owned(), buffers: names.collect() };
        assert_eq!(self.unfinished.buffers.len(), buffers.len(), "names differ");
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.room == Some(self.complete.lock().unwrap().len()) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let CheckpointBuffer { name, bytes: wanted } = self.buffers.last().expect("a buffer that is not full");
        let buffer = self.unfinished.buffers.get_mut(name).unwrap();
        buffer.extend_from_slice(bytes);
        assert!(buffer.len() as u64 <= *wanted, "{name}");
        if buffer.len() as u64 == *wanted {
            self.buffers.pop();
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        assert!(self.buffers.is_empty(), "every buffer is full");
        self.complete.lock().unwrap().push(std::mem::take(&mut self.unfinished));
        Ok(())
    }
}
