//! The start of a fit. It is either the coefficients of every panel with the sums (YᵀX, YᵀY) that the first features come from, or
//! features.

use std::ops::ControlFlow;
use std::slice;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use unmix_kernels::Precision;

use crate::fit::Fit;
use crate::watch::Watch;
use crate::{DenseMatrix, Error, Init, Options, Progress, kmeans, svd, warm_up};

/// Some updates cannot move coefficients of zero. For these, every coefficient of a start that has zeros is raised by this share of the
/// mean coefficient.
const POSITIVE_SHARE: f32 = 0.1;

/// What a start provides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Start {
    /// Coefficients and their sums.
    Coefficients,
    /// Features, and coefficients of zero. `warm` says whether a warm-up has improved the features.
    Features { warm: bool },
}

/// Whether the start of a fit with these options provides features.
pub(crate) fn gives_features(options: &Options) -> bool {
    matches!(options.init, Init::Kmeans | Init::Given) && options.solver.updates().coefficients.moves_zeros()
}

/// Computes the start of a fit, and says what it provides.
pub(crate) async fn start<P: FnMut(&Progress) -> ControlFlow<()>>(
    fit: &Fit<'_>,
    given: Option<&DenseMatrix>,
    rng: &mut ChaCha8Rng,
    watch: &mut Watch<'_, P>,
) -> Result<Start, Error> {
    let moves_zeros = fit.options.solver.updates().coefficients.moves_zeros();
    match (fit.options.init, given) {
        (Init::Given, Some(given)) => {
            let rank = fit.options.rank as usize;
            let own = fit.distribution.rows();
            write_coefficients(fit, &given.values[own.start as usize * rank..own.end as usize * rank])?;
        }
        (Init::Kmeans | Init::Given, _) if gives_features(&fit.options) => {
            let explained = kmeans::features(slice::from_ref(fit), slice::from_mut(rng), watch).await?[0];
            return Ok(Start::Features { warm: warm_up::warm_up(fit, explained, watch)? });
        }
        (Init::Kmeans | Init::Given, _) => kmeans::coefficients(fit, rng, watch).await?,
        (Init::Random, _) => {
            // Each coefficient takes one word. The numbers of a token do not depend on who has it.
            let (words, rank) = (rng.get_word_pos(), u128::from(fit.options.rank));
            rng.set_word_pos(words + u128::from(fit.distribution.rows().start) * rank);
            for tokens in &fit.buffers.tokens {
                let y = tokens.coefficients;
                let values: Vec<f32> = (0..y.rows as usize * y.columns as usize).map(|_| rng.random()).collect();
                fit.io.write_rows(y, 0, &values)?;
            }
            rng.set_word_pos(words + u128::from(fit.tokens) * rank);
        }
        (Init::Svd, _) => svd::coefficients(fit, rng, watch).await?,
    }
    if !moves_zeros && matches!(fit.options.init, Init::Kmeans | Init::Svd) {
        raise_zeros(fit).await?;
    }
    fit.io.run_once(fit.steps().sums(Precision::F32))?;
    Ok(Start::Coefficients)
}

fn write_coefficients(fit: &Fit<'_>, values: &[f32]) -> Result<(), Error> {
    let mut rest = values;
    for tokens in &fit.buffers.tokens {
        let y = tokens.coefficients;
        let (rows, after) = rest.split_at(y.rows as usize * y.columns as usize);
        fit.io.write_rows(y, 0, rows)?;
        rest = after;
    }
    Ok(())
}

/// Adds a share of the mean to every coefficient.
async fn raise_zeros(fit: &Fit<'_>) -> Result<(), Error> {
    let mut sums = Vec::new();
    for panels in fit.distribution.by_segment(&fit.panels) {
        let mut sum = 0.0;
        for panel in panels {
            let values = fit.io.read_matrix(fit.buffers.coefficients(panel)).await?.values;
            sum += values.iter().map(|&y| f64::from(y)).sum::<f64>();
        }
        sums.push([sum]);
    }
    let [sum] = fit.distribution.sums(sums);
    let mean = sum / (fit.tokens as f64 * f64::from(fit.options.rank));
    let floor = if mean > 0.0 { POSITIVE_SHARE * mean as f32 } else { 1.0 };
    for tokens in &fit.buffers.tokens {
        let mut y = fit.io.read_matrix(tokens.coefficients).await?.values;
        y.iter_mut().for_each(|v| *v += floor);
        fit.io.write_rows(tokens.coefficients, 0, &y)?;
    }
    Ok(())
}
