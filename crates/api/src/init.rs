//! Where a fit starts: fills every panel's Y and the sums (YᵀX, YᵀY) that the first features come from, or the features.

use std::ops::ControlFlow;

use rand::RngExt;
use unmix_kernels::{Precision, Recording};

use crate::fit::Fit;
use crate::watch::Watch;
use crate::{DenseMatrix, Error, Init, Progress, kmeans, svd, warm_up};

/// Share of the mean coefficient by which starts with exact zeros are raised for multiplicative updates.
const POSITIVE_SHARE: f32 = 0.1;

/// What a start leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Coefficients and their sums.
    Coefficients,
    /// Features, and coefficients of zero; `warm` after a warm-up.
    Features { warm: bool },
}

/// Initialises the coefficients or, where that takes less work, the features.
pub(crate) async fn start<P: FnMut(&Progress) -> ControlFlow<()>>(
    fit: &mut Fit<'_>,
    given: Option<&DenseMatrix>,
    watch: &mut Watch<'_, P>,
) -> Result<Start, Error> {
    match (fit.options.init, given) {
        (Init::Given, Some(given)) => write_rows(fit, &given.values)?,
        (Init::Kmeans | Init::Given, _) if fit.is_multiplicative() => kmeans::coefficients(fit, watch).await?,
        (Init::Kmeans | Init::Given, _) => {
            let explained = kmeans::features(fit, watch).await?;
            return Ok(Start::Features { warm: warm_up::warm_up(fit, explained, watch)? });
        }
        (Init::Random, _) => {
            for panel in fit.buffers.panels.clone() {
                let count = panel.coefficients.rows as usize * panel.coefficients.columns as usize;
                let values: Vec<f32> = (0..count).map(|_| fit.rng.random()).collect();
                fit.write_rows(panel.coefficients, 0, &values)?;
            }
        }
        (Init::Svd, _) => svd::coefficients(fit, watch).await?,
    }
    if fit.is_multiplicative() && matches!(fit.options.init, Init::Kmeans | Init::Svd) {
        raise_zeros(fit).await?;
    }
    let mut recording = Recording::new();
    for (index, panel) in fit.buffers.panels.iter().enumerate() {
        fit.buffers.record_sums(&mut recording, panel, panel.coefficients, fit.scale, index > 0, Precision::F32);
    }
    fit.run_once(recording)?;
    Ok(Start::Coefficients)
}

fn write_rows(fit: &Fit<'_>, values: &[f32]) -> Result<(), Error> {
    let rank = fit.options.rank as usize;
    for panel in &fit.buffers.panels {
        let (first, rows) = (panel.first_row as usize, panel.coefficients.rows as usize);
        fit.write_rows(panel.coefficients, 0, &values[first * rank..(first + rows) * rank])?;
    }
    Ok(())
}

/// Adds a share of the mean to every coefficient: a multiplicative update never moves an exact zero.
async fn raise_zeros(fit: &Fit<'_>) -> Result<(), Error> {
    let mut sum = 0.0;
    for panel in &fit.buffers.panels {
        sum += fit.read_matrix(panel.coefficients).await?.values.iter().map(|&y| f64::from(y)).sum::<f64>();
    }
    let mean = sum / (fit.tokens as f64 * f64::from(fit.options.rank));
    for panel in &fit.buffers.panels {
        let mut y = fit.read_matrix(panel.coefficients).await?.values;
        let floor = if mean > 0.0 { POSITIVE_SHARE * mean as f32 } else { 1.0 };
        y.iter_mut().for_each(|v| *v += floor);
        fit.write_rows(panel.coefficients, 0, &y)?;
    }
    Ok(())
}
