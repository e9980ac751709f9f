//! Which features are active together.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use unmix::DenseMatrix;

/// Pearson correlation of the columns of Y [n, K] with one another, [K, K]. It is 0 for a column that is constant.
pub fn coefficient_correlations(coefficients: &DenseMatrix) -> DenseMatrix {
    const ROWS: usize = 4096;
    let (rows, rank) = (coefficients.rows, coefficients.columns);
    let (mut sums, mut products) = (vec![0f64; rank], Mat::<f64>::zeros(rank, rank));
    let mut part = Mat::<f32>::zeros(rank, rank);
    // The products of a portion of the rows are taken in f32, and their sum in f64. This is as fast as f32 and precise
    // enough.
    for values in coefficients.values.chunks((ROWS * rank).max(1)) {
        for row in values.chunks_exact(rank) {
            sums.iter_mut().zip(row).for_each(|(sum, &y)| *sum += f64::from(y));
        }
        let y = MatRef::from_row_major_slice(values, values.len() / rank.max(1), rank);
        matmul(&mut part, Accum::Replace, y.transpose(), y, 1.0, Par::rayon(0));
        for l in 0..rank {
            for k in 0..rank {
                products[(k, l)] += f64::from(part[(k, l)]);
            }
        }
    }
    let count = rows.max(1) as f64;
    let covariance = |k: usize, l: usize| products[(k, l)] / count - sums[k] / count * (sums[l] / count);
    // What rounding leaves of a constant column does not count as variance.
    let varies = |k: usize| covariance(k, k) > 1e-6 * products[(k, k)] / count;
    let correlation = |k: usize, l: usize| {
        if !(varies(k) && varies(l)) {
            return 0.0;
        }
        (covariance(k, l) / (covariance(k, k) * covariance(l, l)).sqrt()).clamp(-1.0, 1.0)
    };
    let values = (0..rank * rank).map(|at| correlation(at / rank, at % rank) as f32).collect();
    DenseMatrix { rows: rank, columns: rank, values }
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
    }
}
