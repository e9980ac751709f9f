//! Rows of matrices, mostly features: their nonzeros, norms and inner products.

use faer::Mat;
use unmix::DenseMatrix;
use unmix_data::Error;

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

/// The features Z [K, d] divided by their norms. Rows of zeros stay zero.
pub fn unit_features(features: &DenseMatrix) -> DenseMatrix {
    let mut unit = features.clone();
    unit.values.chunks_exact_mut(features.columns.max(1)).for_each(normalize);
    unit
}

/// Inner products [A, B] of the rows of `a` [A, d] with those of `b` [B, d], which are sparse. Sums are in f64.
pub(crate) fn inner_products(a: &DenseMatrix, b: &DenseMatrix) -> Mat<f64> {
    let sparse: Vec<Vec<(usize, f64)>> = (0..b.rows).map(|l| nonzeros(b.row(l)).collect()).collect();
    Mat::from_fn(a.rows, b.rows, |k, l| sparse[l].iter().map(|&(j, z)| z * f64::from(a.row(k)[j])).sum())
}

/// Cosines [A, B] of each row of `a` [A, d] with each row of `b` [B, d]. A cosine is 0 if one of the rows is all zero.
///
/// # Errors
/// If the rows differ in length, if a matrix does not have a value for each of its places, or if a value is not finite.
pub fn feature_cosines(a: &DenseMatrix, b: &DenseMatrix) -> Result<DenseMatrix, Error> {
    let inconsistent = |matrix: &DenseMatrix, found: String, expected: String| {
        let what = format!("the matrix of features, {} × {},", matrix.rows, matrix.columns);
        Err(Error::Inconsistent { what, found, expected })
    };
    for matrix in [a, b] {
        if matrix.rows.checked_mul(matrix.columns) != Some(matrix.values.len()) {
            let values = format!("given {} values", matrix.values.len());
            return inconsistent(matrix, values, "there must be one for each row and column".to_owned());
        }
        if let Some(at) = matrix.values.iter().position(|value| !value.is_finite()) {
            let (row, column, value) = (at / matrix.columns, at % matrix.columns, matrix.values[at]);
            return Err(Error::NotFiniteMatrix { what: "the features".to_owned(), row, column, value });
        }
    }
    if a.columns != b.columns {
        let found = format!("over {} neurons", b.columns);
        return inconsistent(b, found, format!("the other features are over {}", a.columns));
    }
    Ok(cosines(a, b))
}

/// The same for the features of one fit with one another, [K, K].
pub(crate) fn mutual_cosines(features: &DenseMatrix) -> DenseMatrix {
    cosines(features, features)
}

fn cosines(a: &DenseMatrix, b: &DenseMatrix) -> DenseMatrix {
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
        let cosines = feature_cosines(&a, &b).expect("over the same neurons");
        assert_eq!((cosines.rows, cosines.columns), (2, 2));
        for (got, wanted) in cosines.values.iter().zip([-1.0, 0.8, 0.0, 0.0]) {
            assert!((got - wanted).abs() < 1e-6, "{got} for {wanted}");
        }
    }

    #[test]
    fn features_of_another_width_and_matrices_that_lie_are_errors() {
        let matrix = |rows, columns, values| DenseMatrix { rows, columns, values: vec![1.0; values] };
        let good = matrix(2, 3, 6);
        let nan = DenseMatrix { values: vec![f32::NAN; 6], ..good.clone() };
        for bad in [matrix(2, 4, 8), matrix(2, 3, 5), matrix(usize::MAX, 3, 6), nan] {
            assert!(feature_cosines(&good, &bad).is_err() && feature_cosines(&bad, &good).is_err());
        }
    }
}
