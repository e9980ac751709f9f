//! Features of unit norm.

use unmix::DenseMatrix;

/// Euclidean norm of each row, \[K\], in f64.
pub fn norms(features: &DenseMatrix) -> Vec<f64> {
    (0..features.rows).map(|k| features.row(k).iter().map(|&z| f64::from(z).powi(2)).sum::<f64>().sqrt()).collect()
}

/// The features Z [K, d] divided by their norms; rows of zeros stay zero.
pub fn unit_features(features: &DenseMatrix) -> DenseMatrix {
    let mut unit = features.clone();
    for (row, norm) in unit.values.chunks_exact_mut(features.columns.max(1)).zip(norms(features)) {
        if norm > 0.0 {
            row.iter_mut().for_each(|z| *z = (f64::from(*z) / norm) as f32);
        }
    }
    unit
}

/// Cosine of each row of `a` [A, d] with each row of `b` [B, d], [A, B]; 0 where one of them is all zero.
///
/// # Panics
/// If the rows are not of the same length.
pub fn feature_cosines(a: &DenseMatrix, b: &DenseMatrix) -> DenseMatrix {
    assert_eq!(a.columns, b.columns, "features over the same neurons");
    // Rows are sparse: the nonzeros of one meet the dense other.
    let (a, b) = (unit_features(a), unit_features(b));
    let sparse: Vec<Vec<(usize, f64)>> = (0..b.rows)
        .map(|l| b.row(l).iter().enumerate().filter(|(_, z)| **z != 0.0).map(|(j, &z)| (j, f64::from(z))).collect())
        .collect();
    let cosine = |k: usize, other: &[(usize, f64)]| other.iter().map(|&(j, z)| z * f64::from(a.row(k)[j])).sum::<f64>();
    let values = (0..a.rows).flat_map(|k| sparse.iter().map(move |other| cosine(k, other) as f32)).collect();
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
