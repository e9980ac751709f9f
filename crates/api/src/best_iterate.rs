//! Puts the best iterate where the last one is, and finds coefficients for features that stay as they are.

use unmix_kernels::{Recording, normalization, normalize_coefficients};

use crate::Error;
use crate::buffers::TokenBuffers;
use crate::fit::Fit;
use crate::kept_entries::KeptEntries;
use crate::report::latest_report;
use crate::sparse_features::norm;

/// Number of sweeps in one pass over the tokens.
const SWEEPS: u32 = 8;
/// Largest number of passes.
const PASSES: u32 = 32;
/// A pass that lowers the loss by less than this share of it is the last one.
const SETTLED: f64 = 1e-7;

/// Puts the best iterate in place of the last one. If no copy of its coefficients was kept, they are found again by sweeps that begin with
/// the last coefficients. As the features are fixed, the sweeps approach the least-squares coefficients. They end when the loss is at most
/// `least`, the loss of the best iteration.
pub(crate) async fn restore(fit: &Fit<'_>, least: f64) -> Result<(), Error> {
    let (neurons, values) = fit.io.read_entries(fit.buffers.best_kept).await?;
    if fit.buffers.tokens.iter().any(TokenBuffers::has_copy) {
        write_features(fit, &neurons, &values)?;
        let mut recording = Recording::new();
        for tokens in &fit.buffers.tokens {
            let (best, last) = (tokens.best_coefficients, tokens.coefficients);
            recording.copy(best.buffer(), last.buffer(), last.elements() * 4);
        }
        return fit.io.run_once(recording);
    }
    let norms = write_unit_features(fit, &neurons, &values)?;
    fit.io.write(fit.buffers.scales, &norms)?;
    fit.io.run_once(scaled(fit))?;
    sweep(fit, Some(least)).await
}

/// Finds new coefficients for the features in place. The sweeps begin with zeros, so the squared error cannot rise above ‖X‖².
pub(crate) async fn find_from_zero(fit: &Fit<'_>) -> Result<(), Error> {
    let (neurons, values) = fit.io.read_entries(KeptEntries::of(&fit.buffers.features)).await?;
    write_unit_features(fit, &neurons, &values)?;
    let mut recording = Recording::new();
    for tokens in &fit.buffers.tokens {
        recording.clear(tokens.coefficients.buffer());
    }
    fit.io.run_once(recording)?;
    sweep(fit, None).await
}

/// Sweeps the coefficients for features of unit norm until the loss is at most `least`, or no longer falls. Afterwards, if the solver keeps
/// the scale in the features, the scale is moved to them.
async fn sweep(fit: &Fit<'_>, least: Option<f64>) -> Result<(), Error> {
    let pass = fit.io.prepare(fit.steps().coefficients_pass(SWEEPS, false))?;
    let (mut before, mut expected) = (f64::INFINITY, None);
    for _ in 0..PASSES {
        pass.run()?;
        let report = latest_report(fit, expected).await?;
        expected = Some(report.iteration + 1);
        let loss = report.loss(fit.measured.squared_norm);
        log::debug!("loss of the features: {loss:.9e}, wanted {least:?}");
        if least.is_some_and(|least| loss <= least) || before - loss <= SETTLED * before {
            break;
        }
        before = loss;
    }
    if fit.options.solver.updates().features.keeps_unit_norm() {
        return Ok(());
    }
    move_scale_to_features(fit)
}

/// Brings the columns of the coefficients to unit norm, and multiplies the features by what they were divided by.
pub(crate) fn move_scale_to_features(fit: &Fit<'_>) -> Result<(), Error> {
    let b = &fit.buffers;
    let mut recording = Recording::new();
    normalization(&mut recording, b.sums.gram, &b.features, b.scales, 0.0);
    recording.append(scaled(fit));
    fit.io.run_once(recording)
}

/// Multiplies the columns of the coefficients by the scales.
fn scaled(fit: &Fit<'_>) -> Recording {
    let mut recording = Recording::new();
    for tokens in &fit.buffers.tokens {
        normalize_coefficients(&mut recording, fit.buffers.scales, tokens.coefficients);
    }
    recording
}

fn write_features(fit: &Fit<'_>, neurons: &[u32], values: &[f32]) -> Result<(), Error> {
    let kept = fit.buffers.features.kept as usize;
    for ((feature, neurons), values) in (0..).zip(neurons.chunks_exact(kept)).zip(values.chunks_exact(kept)) {
        fit.io.write_feature(&fit.buffers.features, feature, neurons, values)?;
    }
    Ok(())
}

/// Writes the features divided by their norms, and returns the norms. If the norms differed widely, products of the small features would
/// vanish in f32, and their coefficients would grow without bounds. A feature of zeros stays as it is.
fn write_unit_features(fit: &Fit<'_>, neurons: &[u32], values: &[f32]) -> Result<Vec<f32>, Error> {
    let mut unit = values.to_vec();
    let norms = unit
        .chunks_exact_mut(fit.buffers.features.kept as usize)
        .map(|feature| {
            let norm = norm(feature);
            let divisor = if norm > 0.0 && norm.is_finite() { norm } else { 1.0 };
            feature.iter_mut().for_each(|z| *z = (f64::from(*z) / divisor) as f32);
            divisor as f32
        })
        .collect();
    write_features(fit, neurons, &unit)?;
    Ok(norms)
}
