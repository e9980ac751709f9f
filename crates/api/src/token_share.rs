//! Some rows of activations as activations of their own.

use std::fmt::{self, Debug, Formatter};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use unmix_kernels::ElementType;
use unmix_runtime::ActivationSource;

/// The tokens of one rank, as a matrix of their own.
#[derive(Clone)]
pub struct TokenShare {
    whole: Arc<dyn ActivationSource + Send>,
    rows: Range<u64>,
    panel_rows: u32,
}

impl TokenShare {
    pub(crate) fn new(whole: Arc<dyn ActivationSource + Send>, rows: Range<u64>, panel_rows: u32) -> Self {
        TokenShare { whole, rows, panel_rows }
    }

    /// These rows of the share, by their numbers in the whole matrix. `None` if the share has no such rows.
    fn in_whole(&self, rows: &Range<u64>) -> Option<Range<u64>> {
        let exist = rows.start <= rows.end && rows.end <= self.tokens();
        exist.then(|| self.rows.start + rows.start..self.rows.start + rows.end)
    }
}

impl Debug for TokenShare {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenShare").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl ActivationSource for TokenShare {
    fn tokens(&self) -> u64 {
        self.rows.end - self.rows.start
    }

    fn neurons(&self) -> u64 {
        self.whole.neurons()
    }

    fn element(&self) -> ElementType {
        self.whole.element()
    }

    fn panel_rows(&self) -> Option<u32> {
        Some(self.panel_rows)
    }

    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        self.check_rows(&rows, out)?;
        let rows = self.in_whole(&rows).unwrap_or(rows);
        self.whole.read_rows(rows, out)
    }

    fn shared_rows(&self, rows: Range<u64>) -> Option<Bytes> {
        self.whole.shared_rows(self.in_whole(&rows)?)
    }
}
