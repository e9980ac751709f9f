//! Where prompts begin and end. A context does not extend beyond its prompt.

use std::ops::Range;

use unmix_data::TokenColumns;

/// The rows of each prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompts {
    /// First row of each prompt, ascending. The first one is 0.
    starts: Vec<usize>,
    rows: usize,
    /// Rows, ascending, before which tokens were left out.
    gaps: Vec<usize>,
    /// Whether it is known where prompts begin.
    pub known: bool,
}

impl Prompts {
    /// From the columns of a fit's tokens, of which some may have been left out.
    pub fn of(rows: usize, columns: &TokenColumns) -> Prompts {
        let prompts = Prompts::new(rows, columns.prompt_ids.as_deref(), columns.positions.as_deref());
        let Some(kept) = &columns.rows else { return prompts };
        // Of shuffled rows, neighbours in a prompt lie anywhere.
        let places = columns.positions.as_ref().unwrap_or(kept);
        let gaps = (1..rows).filter(|&row| places[row - 1].checked_add(1) != Some(places[row])).collect();
        Prompts { gaps, ..prompts }
    }

    /// The prompts of `rows` rows. They follow from the number of each row's prompt, or else from positions, which
    /// start anew with each prompt. Without either, all rows are one prompt.
    pub fn new(rows: usize, prompt_ids: Option<&[i64]>, positions: Option<&[i64]>) -> Prompts {
        let starts = |begins: &dyn Fn(usize) -> bool| (0..rows).filter(|&row| row == 0 || begins(row)).collect();
        let (starts, known) = match (prompt_ids, positions) {
            (Some(ids), _) => (starts(&|row| ids[row] != ids[row - 1]), true),
            (None, Some(positions)) => (starts(&|row| positions[row] <= positions[row - 1]), true),
            (None, None) => (starts(&|_| false), false),
        };
        Prompts { starts, rows, gaps: Vec::new(), known }
    }

    /// Whether tokens between this row and the one before may have been left out.
    pub(super) fn is_after_gap(&self, row: usize) -> bool {
        self.gaps.binary_search(&row).is_ok()
    }

    /// The rows of each prompt, in order.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let ends = self.starts.iter().skip(1).copied().chain([self.rows]);
        self.starts.iter().zip(ends).map(|(&start, end)| start..end)
    }

    /// The rows of the prompt of `row`.
    pub fn around(&self, row: usize) -> Range<usize> {
        let next = self.starts.partition_point(|&start| start <= row);
        let start = next.checked_sub(1).map_or(0, |index| self.starts[index]);
        start..self.starts.get(next).copied().unwrap_or(self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_where_positions_or_rows_jump() {
        let rows = Some(vec![0, 1, 3, 4, 9]);
        let columns = TokenColumns { rows: rows.clone(), ..TokenColumns::default() };
        let after_gap = |columns: &TokenColumns| {
            let prompts = Prompts::of(5, columns);
            (0..5).filter(|&row| prompts.is_after_gap(row)).collect::<Vec<_>>()
        };
        assert_eq!(after_gap(&columns), [2, 4]);
        assert_eq!(after_gap(&TokenColumns { positions: Some(vec![0, 1, 2, 4, 5]), rows, ..columns.clone() }), [3]);
        // Where no token was left out, positions may mean anything.
        let positions = Some(vec![0, 2, 4, 6, 8]);
        assert_eq!(after_gap(&TokenColumns { positions, ..TokenColumns::default() }), [0; 0]);
    }

    #[test]
    fn prompts_are_found_by_number_or_by_position() {
        let by_number = Prompts::new(5, Some(&[7, 7, 3, 3, 3]), None);
        assert_eq!((by_number.around(0), by_number.around(1), by_number.around(4)), (0..2, 0..2, 2..5));
        let by_position = Prompts::new(5, None, Some(&[0, 1, 0, 0, 1]));
        assert_eq!((by_position.around(1), by_position.around(2), by_position.around(3)), (0..2, 2..3, 3..5));
        assert_eq!(Prompts::new(5, None, None).around(3), 0..5);
    }
}
