//! The f64 oracle: dense, slow, obvious. It shares no code with the engines.
#![allow(clippy::needless_range_loop, reason = "formulas are written with indices")]

use std::ops::Range;

use crate::dense::Dense;

/// `x` is a part of a larger matrix: its rows `first`, `first` + 1, and so on. Returns the rows of `x` whose number in
/// the larger matrix is a multiple of `step`.
pub fn sampled_rows(x: &Dense, first: usize, step: usize) -> Dense {
    let rows: Vec<usize> = (0..x.rows).filter(|row| (first + row).is_multiple_of(step)).collect();
    Dense::from_fn(rows.len(), x.columns, |i, j| x.at(rows[i], j))
}

/// A · B.
pub fn product(a: &Dense, b: &Dense) -> Dense {
    assert_eq!(a.columns, b.rows);
    Dense::from_fn(a.rows, b.columns, |i, j| (0..a.columns).map(|l| a.at(i, l) * b.at(l, j)).sum())
}

/// Σ aᵢⱼ bᵢⱼ.
pub fn inner(a: &Dense, b: &Dense) -> f64 {
    a.values.iter().zip(&b.values).map(|(a, b)| a * b).sum()
}

/// ‖X − YZ‖², entry by entry.
pub fn loss(x: &Dense, y: &Dense, z: &Dense) -> f64 {
    let yz = product(y, z);
    x.values.iter().zip(&yz.values).map(|(x, v)| (x - v).powi(2)).sum()
}

/// The m largest magnitudes of each row, and zero elsewhere. Of equals, the lower column is kept.
pub fn winner_take_all(z: &Dense, kept: usize) -> Dense {
    let mut out = Dense::from_fn(z.rows, z.columns, |_, _| 0.0);
    for k in 0..z.rows {
        let mut order: Vec<usize> = (0..z.columns).collect();
        order.sort_by(|&a, &b| z.at(k, b).abs().total_cmp(&z.at(k, a).abs()).then(a.cmp(&b)));
        for &j in &order[..kept] {
            out.values[k * z.columns + j] = z.at(k, j);
        }
    }
    out
}

/// Each row divided by its norm, unless that is zero.
pub fn unit_norm(z: &Dense) -> Dense {
    let norm = |k: usize| (0..z.columns).map(|j| z.at(k, j).powi(2)).sum::<f64>().sqrt();
    let norms: Vec<f64> = (0..z.rows).map(norm).collect();
    Dense::from_fn(z.rows, z.columns, |k, j| if norms[k] > 0.0 { z.at(k, j) / norms[k] } else { 0.0 })
}

/// Coordinate descent over the features in `range`, one after the other: each becomes the minimiser of ‖X − YZ‖² among
/// vectors of norm 1 with `kept` nonzeros. A feature with C_kk = 0 stays as it is.
pub fn hals_features(cross: &Dense, gram: &Dense, z: &Dense, kept: usize, range: Range<usize>) -> Dense {
    let (k, d) = (z.rows, z.columns);
    let mut z = z.clone();
    for feature in range.filter(|&feature| gram.at(feature, feature) > 0.0) {
        let others = |j: usize| (0..k).filter(|&l| l != feature).map(|l| gram.at(feature, l) * z.at(l, j)).sum::<f64>();
        let residual = Dense::from_fn(1, d, |_, j| cross.at(feature, j) - others(j));
        let best = unit_norm(&winner_take_all(&residual, kept));
        z.values[feature * d..(feature + 1) * d].copy_from_slice(&best.values);
    }
    z
}

/// Solves A Z = B for a symmetric positive definite A by Gaussian elimination with pivoting.
pub fn solve(a: &Dense, b: &Dense) -> Dense {
    let (n, columns) = (a.rows, b.columns);
    let mut left = a.clone();
    let mut right = b.clone();
    for column in 0..n {
        let pivot = (column..n).max_by(|&i, &j| left.at(i, column).abs().total_cmp(&left.at(j, column).abs())).unwrap();
        for j in 0..n {
            left.values.swap(column * n + j, pivot * n + j);
        }
        for j in 0..columns {
            right.values.swap(column * columns + j, pivot * columns + j);
        }
        for i in (0..n).filter(|&i| i != column) {
            let factor = left.at(i, column) / left.at(column, column);
            for j in 0..n {
                left.values[i * n + j] -= factor * left.at(column, j);
            }
            for j in 0..columns {
                right.values[i * columns + j] -= factor * right.at(column, j);
            }
        }
    }
    Dense::from_fn(n, columns, |i, j| right.at(i, j) / left.at(i, i))
}

/// Sweeps of coordinate descent on Y with penalties λᵢ, token by token and feature by feature. If `keeps_zeros`, coefficients of zero stay zero.
pub fn hals_coefficients(p: &Dense, q: &Dense, y: &Dense, lambda: &[f64], sweeps: usize, keeps_zeros: bool) -> Dense {
    let mut y = y.clone();
    for i in 0..y.rows {
        for _ in 0..sweeps {
            for k in 0..y.columns {
                let gradient: f64 =
                    (0..y.columns).map(|l| y.at(i, l) * q.at(k, l)).sum::<f64>() + lambda[i] - p.at(i, k);
                let moves = q.at(k, k) > 0.0 && (!keeps_zeros || y.at(i, k) > 0.0);
                let new = if moves { (y.at(i, k) - gradient / q.at(k, k)).max(0.0) } else { 0.0 };
                y.values[i * y.columns + k] = new;
            }
        }
    }
    y
}

/// The published multiplicative update.
pub fn multiplicative_update(p: &Dense, q: &Dense, y: &Dense, epsilon: f64) -> Dense {
    Dense::from_fn(y.rows, y.columns, |i, k| {
        let sum = |part: fn(f64) -> f64| (0..y.columns).map(|l| y.at(i, l) * part(q.at(l, k))).sum::<f64>();
        let (raise, lower) = (sum(|q| (-q).max(0.0)), sum(|q| q.max(0.0)));
        y.at(i, k) * ((p.at(i, k).max(0.0) + raise) / ((-p.at(i, k)).max(0.0) + lower + epsilon)).sqrt()
    })
}

/// One published iteration: (Z, Y) from Y.
pub fn paper_iteration(x: &Dense, y: &Dense, kept: usize) -> (Dense, Dense) {
    let (yt, rank) = (y.transposed(), y.columns);
    let mut gram = product(&yt, y);
    (0..rank).for_each(|k| gram.values[k * rank + k] += 1e-6);
    let mut z = winner_take_all(&solve(&gram, &product(&yt, x)), kept);
    let norm: Vec<f64> =
        (0..rank).map(|k| (0..y.rows).map(|i| y.at(i, k).powi(2)).sum::<f64>().sqrt().max(1e-8)).collect();
    let y = Dense::from_fn(y.rows, rank, |i, k| y.at(i, k) / norm[k]);
    z = Dense::from_fn(rank, z.columns, |k, j| z.at(k, j) * norm[k]);
    let zt = z.transposed();
    let y = multiplicative_update(&product(x, &zt), &product(&z, &zt), &y, 1e-6);
    (z, y)
}
