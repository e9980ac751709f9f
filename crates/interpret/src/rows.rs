//! Rows of matrices, features above all: their nonzeros, norms and inner products.

use faer::Mat;
use unmix::DenseMatrix;

/// Columns and values of the nonzeros of a row, in the order of columns.
pub(crate) fn nonzeros(row: &[f32]) -> impl Iterator<Item = (usize, f64)> {
    row.iter().enumerate().filter(|(_, z)| **z != 0.0).map(|(j, &z)| (j, f64::from(z)))
}

/// ‖row‖², in f64, since squares of small and large f32 leave its range.
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

/// The features Z [K, d] divided by their norms; rows of zeros stay zero.
pub fn unit_features(features: &DenseMatrix) -> DenseMatrix {
    let mut unit = features.clone();
    unit.values.chunks_exact_mut(features.columns.max(1)).for_each(normalize);
    unit
}

/// Inner products of the rows of `a` [A, d] with those of `b` [B, d], which are sparse, [A, B]. Sums are in f64.
pub(crate) fn inner_products(a: &DenseMatrix, b: &DenseMatrix) -> Mat<f64> {
    let sparse: Vec<Vec<(usize, f64)>> = (0..b.rows).map(|l| nonzeros(b.row(l)).collect()).collect();
    Mat::from_fn(a.rows, b.rows, |k, l| sparse[l].iter().map(|&(j, z)| z * f64::from(a.row(k)[j])).sum())
}

/// Cosine of each row of `a` [A, d] with each row of `b` [B, d], [A, B]; 0 where one of them is all zero.
///
/// # Panics
/// If the rows are not of the same length.
pub fn feature_cosines(a: &DenseMatrix, b: &DenseMatrix) -> DenseMatrix {
    assert_eq!(a.columns, b.columns, "features over the same neurons");
    let cosines = inner_products(&unit_features(a), &unit_features(b));
    let values = (0..a.rows).flat_map(|k| cosines.row(k).iter().map(|&cosine| cosine as f32)).collect();
    DenseMatrix { rows: a.rows, columns: b.rows, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_do_not_depend_on_scale_and_zeros_have_none() {
        let a = DenseMatrix { rows: 2, columns: 3, values: vec![3.0, 4.0, 0.0, 0.0, 0.0, 0.0] };
        let b = DenseMatrix { rows: 2, columns: 3, values: vec![-30.0, -40.0, 0.0, 0.0, 2.0, 0.0] };
        let cosines = feature_cosines(&a, &b);
        assert_eq!((cosines.rows, cosines.columns), (2, 2));
        for (got, wanted) in cosines.values.iter().zip([-1.0, 0.8, 0.0, 0.0]) {
            assert!((got - wanted).abs() < 1e-6, "{got} for {wanted}");
        }
    }
}
