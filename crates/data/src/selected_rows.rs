//! Some of the rows of a source, as a source of its own.

use std::ops::Range;

use bytes::Bytes;
use unmix::{ActivationSource, ElementType};

use crate::kept_rows::KeptRows;

/// Chosen rows of another source in their order, for example the tokens of some prompts. Cheap to clone if the source is.
#[derive(Clone, Debug)]
pub struct SelectedRows<S> {
    source: S,
    rows: KeptRows,
}

impl<S: ActivationSource> SelectedRows<S> {
    /// The rows of `source` for which `selected` is true, which has an entry for each row.
    ///
    /// # Panics
    /// If it has another number of entries.
    pub fn new(source: S, selected: &[bool]) -> Self {
        SelectedRows { rows: KeptRows::all(source.tokens()).retain(selected), source }
    }
}

impl<S: ActivationSource> ActivationSource for SelectedRows<S> {
    fn tokens(&self) -> u64 {
        self.rows.len()
    }

    fn neurons(&self) -> u64 {
        self.source.neurons()
    }

    fn element(&self) -> ElementType {
        self.source.element()
    }

    fn read_rows(&self, rows: Range<u64>, mut out: &mut [u8]) -> std::io::Result<()> {
        self.check_rows(&rows, out)?;
        let row_bytes = self.neurons() as usize * self.element().bytes();
        for piece in self.rows.pieces(rows) {
            let (own, rest) = out.split_at_mut((piece.end - piece.start) as usize * row_bytes);
            self.source.read_rows(piece, own)?;
            out = rest;
        }
        Ok(())
    }

    fn shared_rows(&self, rows: Range<u64>) -> Option<Bytes> {
        if rows.start > rows.end || rows.end > self.tokens() {
            return None;
        }
        let mut pieces = self.rows.pieces(rows);
        match (pieces.next(), pieces.next()) {
            (Some(piece), None) => self.source.shared_rows(piece),
            (None, _) => Some(Bytes::new()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use unmix::HostActivations;

    use super::*;

    #[test]
    fn only_the_selected_rows_are_read_and_shared() {
        let all = HostActivations::from_f32((0..20).map(|i| i as f32).collect(), 5, 4).expect("activations");
        let some = SelectedRows::new(all, &[true, false, true, true, false]);
        assert_eq!((some.tokens(), some.neurons()), (3, 4));
        let mut bytes = vec![0; 48];
        some.read_rows(0..3, &mut bytes).expect("read");
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        assert_eq!(values, [0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15].map(|i| i as f32));
        let shared: Vec<f32> = bytemuck::pod_collect_to_vec(&some.shared_rows(1..3).expect("neighbours"));
        assert_eq!((shared[0], shared.len()), (8.0, 8));
        assert!(some.shared_rows(0..2).is_none() && some.shared_rows(2..4).is_none());
        // The source has a fourth row, but it was not selected.
        some.read_rows(3..4, &mut [0; 16]).expect_err("beyond the selection");
    }
}
