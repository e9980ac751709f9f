//! A source's bytes in row panels, without a copy where it has them in memory.

use std::ops::Range;

use bytes::Bytes;
use unmix::ActivationSource;

use crate::Error;

/// Bytes of a panel: large enough to keep a core busy, small enough for its caches.
const PANEL_BYTES: u64 = 1 << 20;

/// A source seen as panels of rows.
pub(crate) struct Panels<'a> {
    source: &'a dyn ActivationSource,
    shared: Option<Bytes>,
    row_bytes: usize,
}

impl<'a> Panels<'a> {
    pub(crate) fn new(source: &'a dyn ActivationSource) -> Self {
        let row_bytes = source.neurons() as usize * source.element().bytes();
        Panels { source, shared: source.shared(), row_bytes }
    }

    /// Rows of a panel.
    pub(crate) fn panel_rows(&self) -> u64 {
        (PANEL_BYTES / (self.row_bytes as u64).max(1)).max(1)
    }

    /// The bytes of `rows`, in `buffer` if they had to be read.
    pub(crate) fn bytes<'b>(&'b self, rows: Range<u64>, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Error> {
        let (start, end) = (rows.start as usize * self.row_bytes, rows.end as usize * self.row_bytes);
        if let Some(shared) = &self.shared {
            return Ok(&shared[start..end]);
        }
        buffer.resize(end - start, 0);
        self.source.read_rows(rows, buffer).map_err(Error::from_read)?;
        Ok(buffer)
    }
}
