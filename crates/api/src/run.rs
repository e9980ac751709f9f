//! A fit from its begin to its end.

use std::ops::ControlFlow;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use unmix_runtime::{Activations, Engine};

use crate::fit::Fit;
use crate::iterations::Iterations;
use crate::result::result;
use crate::start::start;
use crate::watch::Watch;
use crate::{DenseMatrix, Error, Factorization, Options, OutlierTokens, Progress, Stage};

/// Measures the activations, starts, iterates, and verifies the result.
pub(crate) async fn run(
    engine: &dyn Engine,
    activations: &Activations,
    options: Options,
    given: Option<&DenseMatrix>,
    progress: &mut impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Factorization, Error> {
    let watch = &mut Watch::new(progress, options.max_iterations);
    watch.stage(Stage::Measure);
    let fit = Fit::open(engine, activations, options).await?;
    warn_of_outliers(&fit);
    watch.stage(Stage::Start);
    let mut rng = ChaCha8Rng::seed_from_u64(fit.options.seed);
    let start = start(&fit, given, &mut rng, watch).await?;
    let mut iterations = Iterations::begin(&fit, start, rng, watch.seconds())?;
    iterations.announce(watch);
    while iterations.step(watch).await? {}
    let (course, stop_reason) = iterations.finish();
    result(fit, course, stop_reason, watch).await
}

fn warn_of_outliers(fit: &Fit<'_>) {
    let energies: Vec<f64> = fit.measured.token_energy.iter().map(|&energy| f64::from(energy)).collect();
    if let Some(warning) = OutlierTokens::of(&energies).warning() {
        log::warn!("{warning}");
    }
}
