//! Which features are active together.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use unmix::DenseMatrix;

/// Pearson correlation of the columns of Y [n, K] with one another, [K, K]. It is 0 for a column that is constant.
pub fn coefficient_correlations(coefficients: &DenseMatrix) -> DenseMatrix {
    cross_correlations(coefficients, coefficients)
}

/// Pearson correlation of the columns of `first` [n, A] with those of `second` [n, B] over the same tokens, [A, B]. It is
/// 0 if one of the columns is constant.
///
/// # Panics
/// If they have different numbers of rows.
pub fn cross_correlations(first: &DenseMatrix, second: &DenseMatrix) -> DenseMatrix {
    const ROWS: usize = 4096;
    assert_eq!(first.rows, second.rows, "the same tokens");
    let (a, b) = (Moments::of(first), Moments::of(second));
    let mut products = Mat::<f64>::zeros(first.columns, second.columns);
    let mut part = Mat::<f32>::zeros(first.columns, second.columns);
    // The products of a portion of the rows are taken in f32, and their sum in f64. This is as fast as f32 and precise
    // enough.
    let portions = |matrix: &'_ DenseMatrix| (ROWS * matrix.columns).max(1);
    for (x, y) in first.values.chunks(portions(first)).zip(second.values.chunks(portions(second))) {
        let x = MatRef::from_row_major_slice(x, x.len() / first.columns.max(1), first.columns);
        let y = MatRef::from_row_major_slice(y, y.len() / second.columns.max(1), second.columns);
        matmul(&mut part, Accum::Replace, x.transpose(), y, 1.0, Par::rayon(0));
        for l in 0..second.columns {
            for k in 0..first.columns {
                products[(k, l)] += f64::from(part[(k, l)]);
            }
        }
    }
    let count = first.rows.max(1) as f64;
    let correlation = |k: usize, l: usize| {
        let deviations = a.deviations[k] * b.deviations[l];
        let covariance = products[(k, l)] / count - a.means[k] * b.means[l];
        if deviations > 0.0 { (covariance / deviations).clamp(-1.0, 1.0) as f32 } else { 0.0 }
    };
    let values = (0..first.columns).flat_map(|k| (0..second.columns).map(move |l| (k, l)));
    DenseMatrix {
        rows: first.columns,
        columns: second.columns,
        values: values.map(|(k, l)| correlation(k, l)).collect(),
    }
}

/// Means and standard deviations of the columns of a matrix.
struct Moments {
    means: Vec<f64>,
    /// 0 for a constant column.
    deviations: Vec<f64>,
}

impl Moments {
    fn of(matrix: &DenseMatrix) -> Moments {
        let (mut sums, mut squares) = (vec![0f64; matrix.columns], vec![0f64; matrix.columns]);
        for row in matrix.values.chunks_exact(matrix.columns.max(1)) {
            for ((sum, square), &y) in sums.iter_mut().zip(&mut squares).zip(row) {
                *sum += f64::from(y);
                *square += f64::from(y).powi(2);
            }
        }
        let count = matrix.rows.max(1) as f64;
        let means: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
        let deviation = |(square, mean): (&f64, &f64)| {
            let variance = square / count - mean * mean;
            // What rounding leaves of a constant column does not count as variance.
            if variance > 1e-6 * square / count { variance.sqrt() } else { 0.0 }
        };
        Moments { deviations: squares.iter().zip(&means).map(deviation).collect(), means }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_are_those_of_the_definition() {
        let (rows, rank) = (9001, 5);
        let value = |i: usize, k: usize| match k {
            3 => 2.5,
            4 => 2.0 * ((i * 31) % 97) as f32 + 1.0,
            k => ((i * (31 + 2 * k)) % 97) as f32,
        };
        let values: Vec<f32> = (0..rows * rank).map(|at| value(at / rank, at % rank)).collect();
        let found = coefficient_correlations(&DenseMatrix { rows, columns: rank, values });
        let column = |k: usize| -> Vec<f64> {
            let column: Vec<f64> = (0..rows).map(|i| f64::from(value(i, k))).collect();
            let mean = column.iter().sum::<f64>() / rows as f64;
            column.iter().map(|y| y - mean).collect()
        };
        for k in 0..rank {
            for l in 0..rank {
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                let (a, b) = (column(k), column(l));
                let wanted = if k == 3 || l == 3 { 0.0 } else { dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt() };
                let got = f64::from(found.row(k)[l]);
                assert!((got - wanted).abs() < 1e-5, "({k}, {l}): {got} for {wanted}");
            }
        }
        assert!((found.row(0)[4] - 1.0).abs() < 1e-6);
        // The first two columns with the others are a part of it.
        let columns = |wanted: std::ops::Range<usize>| {
            let values = (0..rows).flat_map(|i| wanted.clone().map(move |k| value(i, k))).collect();
            DenseMatrix { rows, columns: wanted.len(), values }
        };
        let cross = cross_correlations(&columns(0..2), &columns(2..5));
        assert_eq!((cross.rows, cross.columns), (2, 3));
        for (k, l) in (0..2).flat_map(|k| (0..3).map(move |l| (k, l))) {
            assert!((cross.row(k)[l] - found.row(k)[l + 2]).abs() < 1e-6, "({k}, {l})");
        }
    }
}
