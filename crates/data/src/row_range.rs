//! A part of the rows of a source, as a source of its own.

use std::ops::Range;

use bytes::Bytes;
use unmix::{ActivationSource, ElementType};

/// Rows of another source, for example a portion that fits in memory.
#[derive(Clone, Debug)]
pub struct RowRange<S> {
    source: S,
    rows: Range<u64>,
}

impl<S: ActivationSource> RowRange<S> {
    /// The rows `rows` of `source`, as far as they exist.
    pub fn new(source: S, rows: Range<u64>) -> Self {
        let end = rows.end.min(source.tokens());
        RowRange { rows: rows.start.min(end)..end, source }
    }
}

impl<S: ActivationSource> ActivationSource for RowRange<S> {
    fn tokens(&self) -> u64 {
        self.rows.end - self.rows.start
    }

    fn neurons(&self) -> u64 {
        self.source.neurons()
    }

    fn element(&self) -> ElementType {
        self.source.element()
    }

    fn read_rows(&self, rows: Range<u64>, out: &mut [u8]) -> std::io::Result<()> {
        self.check_rows(&rows, out)?;
        self.source.read_rows(self.rows.start + rows.start..self.rows.start + rows.end, out)
    }

    fn shared_rows(&self, rows: Range<u64>) -> Option<Bytes> {
        if rows.start > rows.end || rows.end > self.tokens() {
            return None;
        }
        self.source.shared_rows(self.rows.start + rows.start..self.rows.start + rows.end)
    }
}

#[cfg(test)]
mod tests {
    use unmix::HostActivations;

    use super::*;

    #[test]
    fn a_range_reads_and_shares_its_own_rows_alone() {
        let all = HostActivations::from_f32((0..20).map(|i| i as f32).collect(), 5, 4).expect("activations");
        let part = RowRange::new(all, 2..4);
        assert_eq!((part.tokens(), part.neurons()), (2, 4));
        let mut bytes = vec![0; 16];
        part.read_rows(1..2, &mut bytes).expect("read");
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        assert_eq!(values, [12.0, 13.0, 14.0, 15.0]);
        let shared: Vec<f32> = bytemuck::pod_collect_to_vec(&part.shared_rows(0..2).expect("shared"));
        assert_eq!((shared[0], shared.len()), (8.0, 8));
        // The source has a row of that number, but the range does not.
        let mut row = vec![0; 16];
        part.read_rows(2..3, &mut row).expect_err("beyond the range");
    }
}
