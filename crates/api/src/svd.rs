//! A start by randomized truncated SVD (Halko, Martinsson and Tropp 2011). The positive and the negative part of each leading left singular
//! vector become two columns of Y.

use std::ops::ControlFlow;

use faer::{Mat, Side};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use unmix_kernels::{Precision, Recording, projection};

use crate::fit::Fit;
use crate::pass::{PanelSums, Pass, Sums};
use crate::watch::Watch;
use crate::{DenseMatrix, Error, Progress, Stage};

/// Number of power iterations. They are needed because the spectra of activations fall slowly.
const POWER_ITERATIONS: usize = 2;
/// Number of directions beyond those that are needed, if the rank leaves room.
const OVERSAMPLING: u32 = 8;

/// Fills the coefficients.
pub(crate) async fn coefficients<P: FnMut(&Progress) -> ControlFlow<()>>(
    fit: &Fit<'_>,
    rng: &mut ChaCha8Rng,
    watch: &mut Watch<'_, P>,
) -> Result<(), Error> {
    let rank = fit.options.rank;
    let wanted = rank.div_ceil(2);
    let directions = (wanted + OVERSAMPLING).min(rank);
    let mut basis = DenseMatrix {
        rows: directions as usize,
        columns: fit.neurons as usize,
        values: (0..directions as usize * fit.neurons as usize).map(|_| StandardNormal.sample(rng)).collect(),
    };
    for iteration in 0..=POWER_ITERATIONS {
        if iteration > 0 && !watch.stage(Stage::Start) {
            break;
        }
        project(fit, &orthonormal(&basis), true)?;
        let cross = fit.buffers.sums.cross.first_rows(directions);
        basis = fit.io.read_matrix(cross).await?;
    }
    // Within the subspace, the eigenvectors of (XVᵀ)ᵀ(XVᵀ) turn V into the leading right singular vectors.
    let basis = orthonormal(&basis);
    project(fit, &basis, false)?;
    let gram = fit.buffers.sums.gram.first_rows(directions).first_columns(directions);
    let gram = fit.io.read_matrix(gram).await?;
    let rotated = rotate(&basis, &gram);
    project(fit, &rotated, false)?;
    for panel in &fit.buffers.tokens {
        let scores = fit.io.read_matrix(panel.coefficients.first_columns(directions)).await?;
        let mut y = vec![0f32; panel.coefficients.rows as usize * rank as usize];
        for (y, scores) in y.chunks_exact_mut(rank as usize).zip(scores.values.chunks_exact(directions as usize)) {
            for (pair, &score) in y.chunks_mut(2).zip(scores) {
                pair[0] = score.max(0.0);
                if let Some(negative) = pair.get_mut(1) {
                    *negative = (-score).max(0.0);
                }
            }
        }
        fit.io.write_rows(panel.coefficients, 0, &y)?;
    }
    Ok(())
}

/// Computes X Vᵀ in the first columns of the coefficients, and their Gram matrix. With `cross` it also computes (XVᵀ)ᵀX in the cross
/// product.
fn project(fit: &Fit<'_>, basis: &DenseMatrix, cross: bool) -> Result<(), Error> {
    let b = &fit.buffers;
    let rows = basis.rows as u32;
    fit.io.write_rows(b.features.dense, 0, &basis.values)?;
    // The Gram matrix is only used to turn the basis, so its sum need not be split into parts.
    let sums = Sums { gram_split: None, ..b.sums };
    let pass = Pass { sums: &sums, ..fit.steps().over(&fit.panels) };
    let mut recording = Recording::new();
    pass.record(&mut recording, |r, panel| {
        let scores = b.coefficients(panel).first_columns(rows);
        projection(r, panel.activations, b.features.dense.first_rows(rows), scores, fit.measured.scale);
        PanelSums { cross: cross.then_some(Precision::F32), gram: true, ..PanelSums::of(scores) }
    });
    fit.io.run_once(recording)
}

/// An orthonormal basis of the span of the rows, by QR in f64. Rows that are not finite or vanish become unit vectors.
fn orthonormal(rows: &DenseMatrix) -> DenseMatrix {
    let scale = rows.values.iter().fold(0f32, |m, v| m.max(v.abs()));
    let scale = if scale > 0.0 && scale.is_finite() { f64::from(scale) } else { 1.0 };
    let transposed = Mat::from_fn(rows.columns, rows.rows, |j, k| f64::from(rows.row(k)[j]) / scale);
    let q = transposed.qr().compute_thin_Q();
    let values = (0..rows.rows).flat_map(|k| (0..rows.columns).map(move |j| (k, j)));
    DenseMatrix { values: values.map(|(k, j)| q[(j, k)] as f32).collect(), ..*rows }
}

/// Turns the basis so that the Gram matrix of the projections becomes diagonal, with descending entries.
fn rotate(basis: &DenseMatrix, gram: &DenseMatrix) -> DenseMatrix {
    let matrix = Mat::from_fn(gram.rows, gram.rows, |i, j| f64::from(gram.row(i)[j]));
    let Ok(eigen) = matrix.self_adjoint_eigen(Side::Lower) else { return basis.clone() };
    let vectors = eigen.U();
    let mut values = Vec::with_capacity(basis.values.len());
    for k in (0..basis.rows).rev() {
        let start = values.len();
        values.resize(start + basis.columns, 0f32);
        for (l, row) in basis.values.chunks_exact(basis.columns).enumerate() {
            let weight = vectors[(l, k)] as f32;
            values[start..].iter_mut().zip(row).for_each(|(v, r)| *v += weight * r);
        }
    }
    DenseMatrix { values, ..*basis }
}
