//! The iteration in double precision, dense and plain. Every engine is compared with it. It uses nothing of the
//! engines.

use std::ops::{Index, IndexMut};

use unmix::Solver;

/// A dense row-major matrix.
#[derive(Clone, Debug)]
pub struct Matrix {
    pub rows: usize,
    pub columns: usize,
    /// Row after row.
    pub values: Vec<f64>,
}

impl Index<(usize, usize)> for Matrix {
    type Output = f64;

    fn index(&self, (i, j): (usize, usize)) -> &f64 {
        &self.values[i * self.columns + j]
    }
}

impl IndexMut<(usize, usize)> for Matrix {
    fn index_mut(&mut self, (i, j): (usize, usize)) -> &mut f64 {
        &mut self.values[i * self.columns + j]
    }
}

impl Matrix {
    /// All zero.
    pub fn zeros(rows: usize, columns: usize) -> Matrix {
        Matrix { rows, columns, values: vec![0.0; rows * columns] }
    }

    fn from_fn(rows: usize, columns: usize, value: impl Fn(usize, usize) -> f64) -> Matrix {
        Matrix { rows, columns, values: (0..rows * columns).map(|at| value(at / columns, at % columns)).collect() }
    }

    /// The product.
    pub fn times(&self, other: &Matrix) -> Matrix {
        Matrix::from_fn(self.rows, other.columns, |i, j| (0..self.columns).map(|l| self[(i, l)] * other[(l, j)]).sum())
    }

    fn transposed(&self) -> Matrix {
        Matrix::from_fn(self.columns, self.rows, |i, j| self[(j, i)])
    }
}

/// The result of a fit.
pub struct Fit {
    /// Z [K, d].
    pub features: Matrix,
    /// Y [n, K].
    pub coefficients: Matrix,
    /// ‖X − YZ‖² after each iteration.
    pub losses: Vec<f64>,
}

/// Runs `iterations` iterations of [`Solver::Hals`], [`Solver::ProjectedLs`] or [`Solver::Paper`] with their default
/// settings, from the coefficients `start`. `penalty` is the weight of the penalty of [`Solver::Hals`].
pub fn fit(x: &Matrix, start: &Matrix, kept: usize, solver: Solver, penalty: f64, iterations: u32) -> Fit {
    let mut y = start.clone();
    let mut z = Matrix::zeros(y.columns, x.columns);
    let no_thresholds = vec![0.0; x.rows];
    let norm = |token: &[f64]| token.iter().map(|x| x * x).sum::<f64>().sqrt();
    let thresholds: Vec<f64> = x.values.chunks(x.columns).map(|token| penalty * norm(token)).collect();
    let mut losses = Vec::new();
    for iteration in 0..iterations {
        if solver == Solver::Hals {
            if iteration == 0 {
                z = least_squares(x, &y, solver);
                keep_largest(&mut z, kept);
                (0..z.rows).for_each(|k| normalize_feature(&mut z, k));
            }
            descend_features(x, &y, &mut z, kept);
        } else {
            let solved = least_squares(x, &y, solver);
            let relaxation = if solver == Solver::ProjectedLs && iteration > 0 { 0.4 } else { 0.0 };
            z = Matrix::from_fn(z.rows, z.columns, |k, j| solved[(k, j)] + relaxation * (solved[(k, j)] - z[(k, j)]));
            keep_largest(&mut z, kept);
            normalize(&mut y, &mut z, solver);
        }
        let (p, q) = (x.times(&z.transposed()), z.times(&z.transposed()));
        match solver {
            Solver::Paper => multiplicative_update(&mut y, &p, &q),
            Solver::Hals => (0..2).for_each(|_| coordinate_descent(&mut y, &p, &q, &thresholds)),
            _ => (0..2).for_each(|_| coordinate_descent(&mut y, &p, &q, &no_thresholds)),
        }
        let fitted = y.times(&z);
        losses.push(x.values.iter().zip(&fitted.values).map(|(x, f)| (x - f).powi(2)).sum());
    }
    Fit { features: z, coefficients: y, losses }
}

/// (YᵀY + ridge)⁻¹ YᵀX, by elimination with pivoting.
fn least_squares(x: &Matrix, y: &Matrix, solver: Solver) -> Matrix {
    let mut gram = y.transposed().times(y);
    let rank = gram.rows;
    let mean = (0..rank).map(|k| gram[(k, k)]).sum::<f64>() / rank as f64;
    let ridge = if solver == Solver::Paper { 1e-6 } else { 1e-7 * mean };
    (0..rank).for_each(|k| gram[(k, k)] += ridge);
    let mut right = y.transposed().times(x);
    for column in 0..rank {
        let pivot = (column..rank).reduce(|a, b| if gram[(b, column)].abs() > gram[(a, column)].abs() { b } else { a });
        for matrix in [&mut gram, &mut right] {
            let pivot = pivot.unwrap_or(column);
            (0..matrix.columns)
                .for_each(|j| matrix.values.swap(column * matrix.columns + j, pivot * matrix.columns + j));
        }
        for row in (0..rank).filter(|&row| row != column) {
            let factor = gram[(row, column)] / gram[(column, column)];
            for matrix in [&mut gram, &mut right] {
                (0..matrix.columns).for_each(|j| matrix[(row, j)] -= factor * matrix[(column, j)]);
            }
        }
    }
    Matrix::from_fn(rank, x.columns, |k, j| right[(k, j)] / gram[(k, k)])
}

/// Sets each feature in turn to its best value while the others stay fixed, cuts it, and gives it norm 1.
fn descend_features(x: &Matrix, y: &Matrix, z: &mut Matrix, kept: usize) {
    let (cross, gram) = (y.transposed().times(x), y.transposed().times(y));
    for k in (0..z.rows).filter(|&k| gram[(k, k)] > 0.0) {
        let others = |j: usize| (0..z.rows).filter(|&l| l != k).map(|l| gram[(k, l)] * z[(l, j)]).sum::<f64>();
        let mut best = Matrix::from_fn(1, z.columns, |_, j| (cross[(k, j)] - others(j)) / gram[(k, k)]);
        keep_largest(&mut best, kept);
        (0..z.columns).for_each(|j| z[(k, j)] = best[(0, j)]);
        normalize_feature(z, k);
    }
}

/// Gives row `k` norm 1.
fn normalize_feature(z: &mut Matrix, k: usize) {
    let norm = (0..z.columns).map(|j| z[(k, j)].powi(2)).sum::<f64>().sqrt();
    (0..z.columns).for_each(|j| z[(k, j)] /= norm);
}

/// Keeps the `kept` entries of largest magnitude in each row.
fn keep_largest(z: &mut Matrix, kept: usize) {
    for row in z.values.chunks_mut(z.columns) {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| row[b].abs().total_cmp(&row[a].abs()).then(a.cmp(&b)));
        order[kept..].iter().for_each(|&j| row[j] = 0.0);
    }
}

/// Scales the columns of Y to unit norm, and moves their scale to the rows of Z.
fn normalize(y: &mut Matrix, z: &mut Matrix, solver: Solver) {
    for k in 0..y.columns {
        let norm = (0..y.rows).map(|i| y[(i, k)].powi(2)).sum::<f64>().sqrt();
        let norm = match solver {
            Solver::Paper => norm.max(1e-8),
            _ if norm == 0.0 => 1.0,
            _ => norm,
        };
        (0..y.rows).for_each(|i| y[(i, k)] /= norm);
        (0..z.columns).for_each(|j| z[(k, j)] *= norm);
    }
}

/// Y ⊙ √((P⁺ + YQ⁻) / (P⁻ + YQ⁺ + 1e-6)).
fn multiplicative_update(y: &mut Matrix, p: &Matrix, q: &Matrix) {
    let part = |m: &Matrix, sign: f64| Matrix::from_fn(m.rows, m.columns, |i, j| (sign * m[(i, j)]).max(0.0));
    let (attract, repel) = (y.times(&part(q, -1.0)), y.times(&part(q, 1.0)));
    *y = Matrix::from_fn(y.rows, y.columns, |i, k| {
        let up = p[(i, k)].max(0.0) + attract[(i, k)];
        let down = (-p[(i, k)]).max(0.0) + repel[(i, k)] + 1e-6;
        y[(i, k)] * (up / down).sqrt()
    });
}

/// One sweep: sets each coefficient in turn to its best value while the others stay fixed. A token's threshold is the
/// penalty on each of its coefficients.
fn coordinate_descent(y: &mut Matrix, p: &Matrix, q: &Matrix, thresholds: &[f64]) {
    for i in 0..y.rows {
        for k in (0..y.columns).filter(|&k| q[(k, k)] > 0.0) {
            let residual = p[(i, k)] - thresholds[i] - (0..y.columns).map(|l| y[(i, l)] * q[(l, k)]).sum::<f64>();
            y[(i, k)] = (y[(i, k)] + residual / q[(k, k)]).max(0.0);
        }
    }
}
