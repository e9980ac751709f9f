//! Rows of matrices, mostly features: their nonzeros, norms and inner products.

use faer::Mat;
use unmix::{DenseMatrix, unit_features};

/// Columns and values of the nonzeros of a row, in the order of columns.
pub(crate) fn nonzeros(row: &[f32]) -> impl Iterator<Item = (usize, f64)> {
    row.iter().enumerate().filter(|(_, z)| **z != 0.0).map(|(j, &z)| (j, f64::from(z)))
}

/// ‖row‖², in f64, because squares of small and large f32 numbers leave the range of f32.
pub(crate) fn squared_norm(row: &[f32]) -> f64 {
    row.iter().map(|&z| f64::from(z).powi(2)).sum()
}

/// Scales a row to unit norm, unless it is zero.
pub(crate) fn normalize(row: &mut [f32]) {
    let norm = squared_norm(row).sqrt();
    if norm > 0.0 {
        row.iter_mut().for_each(|z| *z = (f64::from(*z) / norm) as f32);
    }
}

/// Euclidean norm of each row, \[K\], in f64.
pub fn norms(features: &DenseMatrix) -> Vec<f64> {
    (0..features.rows).map(|k| squared_norm(features.row(k)).sqrt()).collect()
}

/// Inner products [A, B] of the rows of `a` [A, d] with those of `b` [B, d], which are sparse. Sums are in f64.
pub(crate) fn inner_products(a: &DenseMatrix, b: &DenseMatrix) -> Mat<f64> {
    let sparse: Vec<Vec<(usize, f64)>> = (0..b.rows).map(|l| nonzeros(b.row(l)).collect()).collect();
    Mat::from_fn(a.rows, b.rows, |k, l| sparse[l].iter().map(|&(j, z)| z * f64::from(a.row(k)[j])).sum())
}

/// Cosines [K, K] of the features of one fit with one another. A cosine is 0 if one of the features is all zero.
pub(crate) fn mutual_cosines(features: &DenseMatrix) -> DenseMatrix {
    let unit = unit_features(features);
    let cosines = inner_products(&unit, &unit);
    let values = (0..unit.rows).flat_map(|k| cosines.row(k).iter().map(|&cosine| cosine as f32)).collect();
    DenseMatrix { rows: unit.rows, columns: unit.rows, values }
}
