//! The best iterate's coefficients where no copy of them was kept.

use crate::Error;
use crate::fit::Fit;

/// Sweeps in a pass over the tokens.
const SWEEPS: u32 = 8;
/// Most passes.
const PASSES: u32 = 8;

/// Puts the best iterate's features in their place, and sweeps the coefficients until they explain the activations as well as in
/// that iteration, whose loss was `least`: for features that stay as they are, sweeps lead to the best that there are.
pub(crate) async fn find_coefficients(fit: &Fit<'_>, least: f64) -> Result<(), Error> {
    let (neurons, values) = fit.read_entries(fit.buffers.best_kept).await?;
    let kept = fit.buffers.features.kept as usize;
    for ((feature, neurons), values) in (0..).zip(neurons.chunks_exact(kept)).zip(values.chunks_exact(kept)) {
        fit.write_feature(feature, neurons, values)?;
    }
    let plan = fit.plan();
    let pass = fit.session.prepare(plan.coefficients_pass(SWEEPS))?;
    for _ in 0..PASSES {
        pass.run()?;
        let loss = fit.report().await?.loss(fit.squared_norm);
        log::debug!("loss of the best features: {loss:.9e}, in their iteration {least:.9e}");
        if loss <= least {
            break;
        }
    }
    Ok(())
}
