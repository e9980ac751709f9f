//! An encoder of one matrix product, y ≈ relu(x W + b), for tools that know no other.
//!
//! The coefficients of a fit solve a nonnegative least-squares problem for each token. They depend on a token x only
//! through its projections p = x Ẑᵀ, so W has the form Ẑᵀ A with A [K, K]. If the activations are at hand, A and b
//! minimise the sum of two terms: Σ (ŷ − pA − b)² over the coefficients above zero, and Σ max(pA + b, 0)² over those
//! that are zero, where the relu accepts any negative number. This is convex. It is solved by repeated least squares:
//! towards ŷ where ŷ > 0, and elsewhere towards the negative part of the last solution. This never raises the sum, and
//! is faster with momentum. The first pass is plain ridge regression.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use serde::Serialize;
use unmix::{ActivationSource, DenseMatrix};

use super::linear_algebra::Factorized;
use super::projections::Projections;
use super::{ExportError, ScaledFit};
use crate::rows::{inner_products, nonzeros};

/// Most passes over the projections.
const MOST_PASSES: u32 = 60;
/// A pass that lowers the sum by a smaller share than this is the last one.
const TOLERANCE: f64 = 1e-3;
/// Rows handled at a time.
const ROWS: usize = 2048;

/// relu(x W + b).
#[derive(Clone, Debug, PartialEq)]
pub struct AffineEncoder {
    /// W [d, K]. It is zero for a feature that no token uses.
    pub weights: DenseMatrix,
    /// b, K of them.
    pub bias: Vec<f32>,
    /// How good the encoder is.
    pub report: EncoderReport,
}

/// What an affine encoder loses compared with the fit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EncoderReport {
    /// Whether it was fitted to activations. Otherwise it is the pseudo-inverse of the features.
    pub fitted: bool,
    /// ‖X − relu(XW + b) Ẑ‖² / ‖X‖². Not known without activations.
    pub relative_error: Option<f64>,
    /// ‖X − ŶẐ‖² / ‖X‖² of the fit itself.
    pub fit_relative_error: f64,
    /// Mean number of features above zero at a token. Not known without activations.
    pub mean_active: Option<f64>,
    /// Largest number of features above zero at a token. Not known without activations.
    pub most_active: Option<usize>,
    /// Mean number of features above zero at a token in the fit itself.
    pub fit_mean_active: f64,
}

/// The affine encoder of a fit. With activations [n, d] it is fitted to them. Without, it is the pseudo-inverse
/// Ẑᵀ(ẐẐᵀ)⁻¹ with zero bias.
///
/// # Errors
/// If the activations cannot be read, have another shape than the fit, or are not finite.
pub fn affine_encoder(
    fit: &ScaledFit,
    activations: Option<&dyn ActivationSource>,
) -> Result<AffineEncoder, ExportError> {
    let alive = fit.alive();
    let gram = inner_products(&fit.features, &fit.features);
    let Some(source) = activations else {
        let (map, bias) = (pseudo_inverse(&gram, &alive), vec![0f64; fit.rank()]);
        let report = EncoderReport {
            fitted: false,
            relative_error: None,
            fit_relative_error: fit.relative_error,
            mean_active: None,
            most_active: None,
            fit_mean_active: fit.mean_active(),
        };
        return Ok(finish(fit, &map, &bias, &alive, report));
    };
    let projections = Projections::new(fit, source)?;
    let regression = Regression::new(fit, &projections);
    let (map, bias) = regression.solve();
    let encoded = |rows: MatRef<'_, f64>, _: usize| regression.apply(rows, &map, &bias);
    let own = |rows: MatRef<'_, f64>, first: usize| {
        Mat::from_fn(rows.nrows(), fit.rank(), |i, k| f64::from(fit.coefficients.row(first + i)[k]))
    };
    let (encoder, itself) = (evaluate(&projections, &gram, encoded), evaluate(&projections, &gram, own));
    let report = EncoderReport {
        fitted: true,
        relative_error: Some(encoder.relative_error),
        fit_relative_error: itself.relative_error,
        mean_active: Some(encoder.mean_active),
        most_active: Some(encoder.most_active),
        fit_mean_active: itself.mean_active,
    };
    Ok(finish(fit, &map, &bias, &alive, report))
}

/// (ẐẐᵀ)⁻¹ over the living features.
fn pseudo_inverse(gram: &Mat<f64>, alive: &[bool]) -> Mat<f64> {
    let rank = alive.len();
    let unit = |k: usize, l: usize| if k == l { 1.0 } else { 0.0 };
    let matrix = Mat::from_fn(rank, rank, |k, l| if alive[k] && alive[l] { gram[(k, l)] } else { unit(k, l) });
    Factorized::new(&matrix).solve(&Mat::from_fn(rank, rank, unit))
}

/// W = Ẑᵀ A, with zeros for dead features.
fn finish(fit: &ScaledFit, map: &Mat<f64>, bias: &[f64], alive: &[bool], report: EncoderReport) -> AffineEncoder {
    let (neurons, rank) = (fit.neurons(), fit.rank());
    let mut weights = vec![0f64; neurons * rank];
    for l in 0..rank {
        for (j, z) in nonzeros(fit.features.row(l)) {
            for (k, w) in weights[j * rank..(j + 1) * rank].iter_mut().enumerate().filter(|(k, _)| alive[*k]) {
                *w += z * map[(l, k)];
            }
        }
    }
    let values = weights.into_iter().map(|w| w as f32).collect();
    let bias = bias.iter().zip(alive).map(|(&b, &alive)| if alive { b as f32 } else { 0.0 }).collect();
    AffineEncoder { weights: DenseMatrix { rows: neurons, columns: rank, values }, bias, report }
}

/// The regression of the coefficients on the projections and a constant, each scaled to unit norm.
struct Regression<'a> {
    fit: &'a ScaledFit,
    projections: &'a Projections,
    /// The factors of the columns of P, and last of the column of ones.
    scales: Vec<f64>,
}

impl<'a> Regression<'a> {
    fn new(fit: &'a ScaledFit, projections: &'a Projections) -> Self {
        let mut squares = vec![0f64; fit.rank() + 1];
        for row in projections.values.values.chunks_exact(fit.rank()) {
            squares.iter_mut().zip(row).for_each(|(sum, &p)| *sum += f64::from(p).powi(2));
        }
        squares[fit.rank()] = fit.tokens() as f64;
        let scales = squares.into_iter().map(|square| if square > 0.0 { 1.0 / square.sqrt() } else { 1.0 }).collect();
        Regression { fit, projections, scales }
    }

    /// Panels of scaled rows [rows, K + 1], each with the number of its first row.
    fn panels(&self) -> impl Iterator<Item = (usize, Mat<f64>)> {
        let rank = self.fit.rank();
        panels(self.projections).map(move |(first, rows)| {
            let value = |i: usize, k: usize| if k < rank { rows[(i, k)] } else { 1.0 };
            (first, Mat::from_fn(rows.nrows(), rank + 1, |i, k| value(i, k) * self.scales[k]))
        })
    }

    /// A and b, without the scaling.
    fn solve(&self) -> (Mat<f64>, Vec<f64>) {
        let rank = self.fit.rank();
        let mut normal = Mat::zeros(rank + 1, rank + 1);
        for (_, rows) in self.panels() {
            matmul(normal.as_mut(), Accum::Add, rows.transpose(), rows.as_ref(), 1.0, Par::rayon(0));
        }
        let normal = Factorized::new(&normal);
        let mut solution: Mat<f64> = Mat::zeros(rank + 1, rank);
        // The next pass starts beyond the solution, in the direction of the last step (Nesterov 1983), unless that led
        // uphill.
        let mut ahead = solution.clone();
        let (mut last, mut steps) = (f64::INFINITY, 0u32);
        for pass in 0..MOST_PASSES {
            let (right_side, sum) = self.pass(&ahead);
            // The first pass is at zero, and the second at the plain regression.
            if pass > 1 && sum > last {
                ahead = solution.clone();
                (last, steps) = (f64::INFINITY, 0);
                continue;
            }
            if last.is_finite() && last - sum <= TOLERANCE * last {
                break;
            }
            last = sum;
            let next = normal.solve(&right_side);
            let momentum = f64::from(steps) / f64::from(steps + 3);
            ahead = if pass == 0 { next.clone() } else { &next + (&next - &solution) * faer::Scale(momentum) };
            solution = next;
            steps += 1;
        }
        let map = Mat::from_fn(rank, rank, |l, k| solution[(l, k)] * self.scales[l]);
        let bias = (0..rank).map(|k| solution[(rank, k)] * self.scales[rank]).collect();
        (map, bias)
    }

    /// The right side of the least squares after `solution`, and the value at `solution` of the sum that is minimised.
    fn pass(&self, solution: &Mat<f64>) -> (Mat<f64>, f64) {
        let rank = self.fit.rank();
        let mut right_side = Mat::zeros(rank + 1, rank);
        let mut sum = 0.0;
        for (first, rows) in self.panels() {
            let mut targets: Mat<f64> = Mat::zeros(rows.nrows(), rank);
            matmul(targets.as_mut(), Accum::Replace, rows.as_ref(), solution.as_ref(), 1.0, Par::rayon(0));
            for k in 0..rank {
                for i in 0..rows.nrows() {
                    let (given, own) = (targets[(i, k)], f64::from(self.fit.coefficients.row(first + i)[k]));
                    let target = if own > 0.0 { own } else { given.min(0.0) };
                    sum += (given - target).powi(2);
                    targets[(i, k)] = target;
                }
            }
            matmul(right_side.as_mut(), Accum::Add, rows.transpose(), targets.as_ref(), 1.0, Par::rayon(0));
        }
        (right_side, sum)
    }

    /// relu(P A + b) for rows of P.
    fn apply(&self, rows: MatRef<'_, f64>, map: &Mat<f64>, bias: &[f64]) -> Mat<f64> {
        let mut encoded: Mat<f64> = Mat::zeros(rows.nrows(), self.fit.rank());
        matmul(encoded.as_mut(), Accum::Replace, rows, map.as_ref(), 1.0, Par::rayon(0));
        Mat::from_fn(rows.nrows(), bias.len(), |i, k| (encoded[(i, k)] + bias[k]).max(0.0))
    }
}

/// Panels of P in f64, each with the number of its first row.
fn panels(projections: &Projections) -> impl Iterator<Item = (usize, Mat<f64>)> {
    let values = &projections.values;
    (0..values.rows).step_by(ROWS).map(move |first| {
        let rows = ROWS.min(values.rows - first);
        (first, Mat::from_fn(rows, values.columns, |i, k| f64::from(values.row(first + i)[k])))
    })
}

struct Evaluation {
    relative_error: f64,
    mean_active: f64,
    most_active: usize,
}

/// The error of coefficients C that come panel by panel: ‖X − CẐ‖² = ‖X‖² − 2⟨C, P⟩ + ⟨C ẐẐᵀ, C⟩.
fn evaluate(
    projections: &Projections,
    gram: &Mat<f64>,
    coefficients: impl Fn(MatRef<'_, f64>, usize) -> Mat<f64>,
) -> Evaluation {
    let (mut explained, mut active, mut most_active) = (0.0, 0, 0);
    for (first, rows) in panels(projections) {
        let given = coefficients(rows.as_ref(), first);
        let mut overlap: Mat<f64> = Mat::zeros(given.nrows(), given.ncols());
        matmul(overlap.as_mut(), Accum::Replace, given.as_ref(), gram.as_ref(), 1.0, Par::rayon(0));
        for i in 0..given.nrows() {
            let mut here = 0;
            for k in 0..given.ncols() {
                explained += given[(i, k)] * (2.0 * rows[(i, k)] - overlap[(i, k)]);
                here += usize::from(given[(i, k)] > 0.0);
            }
            active += here;
            most_active = most_active.max(here);
        }
    }
    let total = projections.squared_norm;
    Evaluation {
        relative_error: if total > 0.0 { ((total - explained) / total).max(0.0) } else { 0.0 },
        mean_active: active as f64 / projections.values.rows.max(1) as f64,
        most_active,
    }
}
