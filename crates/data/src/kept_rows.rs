//! Which rows of a stored matrix are kept.

use std::ops::Range;
use std::sync::Arc;

/// The kept rows in ascending order, as runs of neighbours. If one token of each prompt is left out, this takes memory
/// for each prompt rather than for each token. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptRows {
    runs: Arc<[Run]>,
    kept: u64,
}

/// Neighbouring rows that are all kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// Number of the first row among all rows.
    stored: u64,
    /// Number of the first row among the kept rows.
    kept: u64,
}

impl KeptRows {
    /// All of `rows` rows.
    pub(crate) fn all(rows: u64) -> Self {
        KeptRows { runs: (rows > 0).then_some(Run { stored: 0, kept: 0 }).into_iter().collect(), kept: rows }
    }

    /// The rows `stored`, which must be ascending.
    fn of(stored: impl Iterator<Item = u64>) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut kept = 0;
        let mut next = None;
        for row in stored {
            if next != Some(row) {
                runs.push(Run { stored: row, kept });
            }
            next = Some(row + 1);
            kept += 1;
        }
        KeptRows { runs: runs.into(), kept }
    }

    /// Those of the kept rows for which `keep` is true. `keep` has an entry for each of them.
    ///
    /// # Panics
    /// If it has another number of entries.
    pub(crate) fn retain(&self, keep: &[bool]) -> Self {
        assert_eq!(keep.len() as u64, self.kept, "an entry for each kept row");
        KeptRows::of(self.stored().zip(keep).filter_map(|(row, &keep)| keep.then_some(row)))
    }

    /// Number of kept rows.
    pub(crate) fn len(&self) -> u64 {
        self.kept
    }

    /// The kept rows, by their numbers among all rows.
    pub(crate) fn stored(&self) -> impl Iterator<Item = u64> {
        self.pieces(0..self.kept).flatten()
    }

    /// The kept rows `rows` as ranges of all rows, in ascending order.
    ///
    /// # Panics
    /// If there are no such rows.
    pub(crate) fn pieces(&self, rows: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        assert!(rows.start <= rows.end && rows.end <= self.kept, "rows {rows:?} of {}", self.kept);
        let first = self.runs.partition_point(|run| run.kept <= rows.start).saturating_sub(1);
        let ends = self.runs.iter().skip(first + 1).map(|run| run.kept).chain([self.kept]);
        self.runs[first.min(self.runs.len())..]
            .iter()
            .zip(ends)
            .take_while(move |(run, _)| run.kept < rows.end)
            .map(move |(run, end)| {
                let (start, end) = (rows.start.max(run.kept), rows.end.min(end));
                run.stored + (start - run.kept)..run.stored + (end - run.kept)
            })
            .filter(|piece| !piece.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_the_rows_that_were_kept(
            keep in prop::collection::vec(any::<bool>(), 0..60),
            again in prop::collection::vec(any::<bool>(), 60),
            cut in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ) {
            let kept = KeptRows::all(keep.len() as u64).retain(&keep);
            let expected: Vec<u64> = (0..keep.len() as u64).filter(|&row| keep[row as usize]).collect();
            prop_assert_eq!(kept.stored().collect::<Vec<_>>(), expected.clone());
            let (a, b) = (cut.0.index(expected.len() + 1), cut.1.index(expected.len() + 1));
            let (start, end) = (a.min(b), a.max(b));
            let pieces: Vec<Range<u64>> = kept.pieces(start as u64..end as u64).collect();
            prop_assert_eq!(pieces.iter().cloned().flatten().collect::<Vec<_>>(), &expected[start..end]);
            // Neighbours are read together.
            prop_assert!(pieces.windows(2).all(|pair| pair[0].end < pair[1].start));
            let again = &again[..expected.len()];
            let twice: Vec<u64> = expected.iter().zip(again).filter(|(_, keep)| **keep).map(|(row, _)| *row).collect();
            prop_assert_eq!(kept.retain(again).stored().collect::<Vec<_>>(), twice);
        }
    }
}
