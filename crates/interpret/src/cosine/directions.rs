//! Directions of unit length, and their products with rows.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use unmix::{DenseMatrix, unit_features};

use crate::rows::{nonzeros, normalize};

/// Share of nonzeros up to which gathering them is faster than the dense product.
const SPARSE: f64 = 0.06;

/// Directions scaled to unit length. Directions that are zero stay zero.
pub enum Directions {
    /// \[K, d\].
    Dense(DenseMatrix),
    /// The nonzeros of each direction: (neuron, value).
    Sparse { neurons: usize, entries: Vec<Vec<(u32, f32)>> },
}

impl Directions {
    pub fn new(directions: &DenseMatrix) -> Directions {
        let neurons = directions.columns;
        let unit = unit_features(directions);
        let count = unit.values.iter().filter(|&&v| v != 0.0).count();
        if count as f64 > SPARSE * unit.values.len() as f64 {
            return Directions::Dense(unit);
        }
        let entries =
            (0..unit.rows).map(|k| nonzeros(unit.row(k)).map(|(neuron, v)| (neuron as u32, v as f32)).collect());
        Directions::Sparse { neurons, entries: entries.collect() }
    }

    /// Number of directions.
    pub fn count(&self) -> usize {
        match self {
            Directions::Dense(matrix) => matrix.rows,
            Directions::Sparse { entries, .. } => entries.len(),
        }
    }

    /// Scales the rows to unit length in place, and writes their products with all directions to `out`, \[rows, K\].
    pub fn cosines(&self, rows: &mut [f32], out: &mut [f32]) {
        let count = self.count();
        match self {
            Directions::Dense(matrix) => {
                let neurons = matrix.columns;
                rows.chunks_exact_mut(neurons).for_each(normalize);
                let (height, rows) = (out.len() / count, &*rows);
                // A row-major matrix is its transpose in faer's order.
                let rows = MatRef::from_column_major_slice(rows, neurons, height);
                let directions = MatRef::from_column_major_slice(&matrix.values, neurons, count);
                let out = MatMut::from_column_major_slice_mut(out, count, height);
                matmul(out, Accum::Replace, directions.transpose(), rows, 1.0, Par::Seq);
            }
            Directions::Sparse { neurons, entries } => {
                for (row, out) in rows.chunks_exact_mut((*neurons).max(1)).zip(out.chunks_exact_mut(count)) {
                    normalize(row);
                    for (out, entries) in out.iter_mut().zip(entries) {
                        *out = entries.iter().map(|&(neuron, value)| row[neuron as usize] * value).sum();
                    }
                }
            }
        }
    }
}
