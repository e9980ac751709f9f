//! Matrices in host memory.

/// A dense row-major f32 matrix on the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DenseMatrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// The `rows * columns` values, row after row.
    pub values: Vec<f32>,
}

impl DenseMatrix {
    /// Row `row`, counted from 0: a slice of `columns` values.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }
}
