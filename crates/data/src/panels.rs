//! The rows of a source in panels, without a copy if the source has them in memory.

use std::ops::Range;

use bytes::Bytes;
use unmix::ActivationSource;

use crate::Error;

/// Values of a panel. As f32 they stay in a core's cache, and a product over them is large enough to keep the core
/// busy.
const PANEL_VALUES: usize = 1 << 18;

/// A source cut into panels of rows.
pub struct Panels<'a> {
    source: &'a dyn ActivationSource,
    rows: usize,
}

/// Memory for one panel, which is used again for the next.
#[derive(Debug, Default)]
pub struct PanelBuffer {
    bytes: RowBytes,
    values: Vec<f32>,
}

/// The bytes of some rows: in the source's memory, or in a copy whose memory is used again.
#[derive(Debug, Default)]
pub(crate) struct RowBytes {
    shared: Bytes,
    copied: Vec<u8>,
}

impl<'a> Panels<'a> {
    /// Panels of `source` of about a megabyte in f32.
    pub fn new(source: &'a dyn ActivationSource) -> Self {
        let rows = (PANEL_VALUES / (source.neurons() as usize).max(1)).max(1);
        Panels { source, rows }
    }

    /// Number of panels.
    pub fn count(&self) -> usize {
        (self.source.tokens() as usize).div_ceil(self.rows)
    }

    /// Rows of every panel except the last one. At least 1.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Values of a row. At least 1, so that one can divide by it.
    pub fn neurons(&self) -> usize {
        (self.source.neurons() as usize).max(1)
    }

    /// The rows of panel `panel`.
    pub fn range(&self, panel: usize) -> Range<usize> {
        let start = panel * self.rows;
        start..(start + self.rows).min(self.source.tokens() as usize)
    }

    /// The values of `rows` as f32, one row after the other. They may be changed.
    ///
    /// # Errors
    /// If there are no such rows, or the source cannot be read.
    pub fn values<'b>(&self, rows: Range<usize>, buffer: &'b mut PanelBuffer) -> Result<&'b mut [f32], Error> {
        let PanelBuffer { bytes, values } = buffer;
        let tokens = self.source.tokens();
        if rows.start > rows.end || rows.end as u64 > tokens {
            let problem = format!("rows {rows:?} of a matrix of {tokens} rows");
            return Err(Error::Read(std::io::Error::new(std::io::ErrorKind::InvalidInput, problem)));
        }
        values.resize(rows.len() * self.source.neurons() as usize, 0.0);
        self.source.element().decode(self.bytes(rows, bytes)?, values);
        Ok(values)
    }

    /// The bytes of `rows`.
    pub(crate) fn bytes<'b>(&self, rows: Range<usize>, bytes: &'b mut RowBytes) -> Result<&'b [u8], Error> {
        let numbers = rows.start as u64..rows.end as u64;
        if let Some(shared) = self.source.shared_rows(numbers.clone()) {
            bytes.shared = shared;
            return Ok(&bytes.shared);
        }
        bytes.copied.resize(rows.len() * self.source.neurons() as usize * self.source.element().bytes(), 0);
        self.source.read_rows(numbers, &mut bytes.copied).map_err(Error::from_read)?;
        Ok(&bytes.copied)
    }
}
