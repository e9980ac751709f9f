//! The little linear algebra that encoders need, in f64.

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};

/// Added to a unit diagonal. It is enough even for features that are nearly equal.
const RIDGE: f64 = 1e-7;

/// A Cholesky factorization of a positive semidefinite matrix with a unit diagonal.
pub(super) struct Factorized(Option<Llt<f64>>);

impl Factorized {
    /// Adds a ridge, which becomes ten times larger after each failure.
    pub fn new(matrix: &Mat<f64>) -> Factorized {
        let attempt = |ridge: f64| {
            let ridged =
                Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[(i, j)] + if i == j { ridge } else { 0.0 });
            Llt::new(ridged.as_ref(), Side::Lower).ok()
        };
        Factorized((0..7).find_map(|power| attempt(RIDGE * 10f64.powi(power))))
    }

    /// The solution, or zeros for a matrix that no ridge could mend.
    pub fn solve(&self, right_side: &Mat<f64>) -> Mat<f64> {
        match &self.0 {
            Some(llt) => llt.solve(right_side),
            None => Mat::zeros(right_side.nrows(), right_side.ncols()),
        }
    }
}
