//! Features of unit norm, and their cosines.

use crate::sparse_features::{SparseFeatures, norm};
use crate::{DenseMatrix, Error};

/// The features Z [K, d] divided by their norms. Rows of zeros stay zero.
pub fn unit_features(features: &DenseMatrix) -> DenseMatrix {
    let mut unit = features.clone();
    for row in unit.values.chunks_exact_mut(features.columns.max(1)) {
        let norm = norm(row);
        if norm > 0.0 {
            row.iter_mut().for_each(|z| *z = (f64::from(*z) / norm) as f32);
        }
    }
    unit
}

/// Cosines [A, B] of each row of `first` [A, d] with each row of `second` [B, d]. A cosine is 0 if one of the rows is all zero.
///
/// # Errors
/// [`Error::Option`] if the rows differ in length, if a matrix does not have a value for each of its places, or if a value is not finite.
pub fn feature_cosines(first: &DenseMatrix, second: &DenseMatrix) -> Result<DenseMatrix, Error> {
    for matrix in [first, second] {
        let DenseMatrix { rows, columns, values } = matrix;
        if rows.checked_mul(*columns) != Some(values.len()) {
            return refuse(
                format!("a matrix {rows} × {columns} with {} values", values.len()),
                "a value for each row and column is needed",
            );
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let place = format!("{} in feature {}, neuron {}", values[at], at / columns, at % columns);
            return refuse(place, "finite values are needed");
        }
    }
    if first.columns != second.columns {
        return refuse(
            format!("features over {} and over {} neurons", first.columns, second.columns),
            "features over the same neurons are needed; those of different layers have no cosines",
        );
    }
    Ok(SparseFeatures::of(first).cosines(&SparseFeatures::of(second)))
}

fn refuse(given: String, expected: &str) -> Result<DenseMatrix, Error> {
    Err(Error::Option { option: "features", given, expected: expected.to_owned() })
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
