//! Where prompts begin and end. A context does not extend beyond its prompt.

use std::ops::Range;

/// The rows of each prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompts {
    /// First row of each prompt, ascending. The first one is 0.
    starts: Vec<usize>,
    rows: usize,
    /// Whether it is known where prompts begin.
    pub known: bool,
}

impl Prompts {
    /// The prompts of `rows` rows. They follow from the number of each row's prompt, or else from positions, which
    /// start anew with each prompt. Without either, all rows are one prompt.
    pub fn new(rows: usize, prompt_ids: Option<&[i64]>, positions: Option<&[i64]>) -> Prompts {
        let starts = |begins: &dyn Fn(usize) -> bool| (0..rows).filter(|&row| row == 0 || begins(row)).collect();
        let (starts, known) = match (prompt_ids, positions) {
            (Some(ids), _) => (starts(&|row| ids[row] != ids[row - 1]), true),
            (None, Some(positions)) => (starts(&|row| positions[row] <= positions[row - 1]), true),
            (None, None) => (starts(&|_| false), false),
        };
        Prompts { starts, rows, known }
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
    fn prompts_are_found_by_number_or_by_position() {
        let by_number = Prompts::new(5, Some(&[7, 7, 3, 3, 3]), None);
        assert_eq!((by_number.around(0), by_number.around(1), by_number.around(4)), (0..2, 0..2, 2..5));
        let by_position = Prompts::new(5, None, Some(&[0, 1, 0, 0, 1]));
        assert_eq!((by_position.around(1), by_position.around(2), by_position.around(3)), (0..2, 2..3, 3..5));
        assert_eq!(Prompts::new(5, None, None).around(3), 0..5);
    }
}
