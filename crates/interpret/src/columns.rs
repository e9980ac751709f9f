//! Work on the columns of a matrix that is stored row by row.

use rayon::prelude::*;
use unmix::DenseMatrix;

/// Columns that are gathered at a time, so that reading a row uses whole cache lines.
const AT_A_TIME: usize = 16;

/// Gathers what `entry` gives for the row and the value of each entry of a column, in the order of the rows. Returns what `of_column` makes
/// of it, for each column.
pub(crate) fn map_columns<T: Clone + Send, R: Send>(
    matrix: &DenseMatrix,
    entry: impl Fn(usize, f32) -> Option<T> + Sync,
    of_column: impl Fn(Vec<T>) -> R + Sync,
) -> Vec<R> {
    let columns = matrix.columns;
    let groups: Vec<std::ops::Range<usize>> =
        (0..columns).step_by(AT_A_TIME).map(|first| first..(first + AT_A_TIME).min(columns)).collect();
    groups
        .into_par_iter()
        .flat_map_iter(|group| {
            let mut gathered: Vec<Vec<T>> = vec![Vec::new(); group.len()];
            for (row, values) in matrix.values.chunks_exact(columns).enumerate() {
                for (column, &value) in gathered.iter_mut().zip(&values[group.clone()]) {
                    column.extend(entry(row, value));
                }
            }
            gathered.into_iter().map(&of_column)
        })
        .collect()
}
