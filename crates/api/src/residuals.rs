//! What the iterate at hand leaves of each token.

use unmix_kernels::{Recording, project, projection, token_residuals};

use crate::Error;
use crate::fit::Fit;

/// ‖xᵢ − yᵢZ‖² of every token of the scaled activations, in their order.
pub(crate) async fn squared_residuals(fit: &Fit<'_>) -> Result<Vec<f32>, Error> {
    let b = &fit.buffers;
    let mut residuals = Vec::with_capacity(fit.tokens as usize);
    for panel in &b.panels {
        let (projections, reconstructed) = (b.projections_of(panel), b.previous_of(panel));
        let mut recording = Recording::new();
        project(&mut recording, panel.activations, &b.features, projections, fit.scale);
        projection(&mut recording, panel.coefficients, b.feature_gram, reconstructed, 1.0);
        let norms = panel.squared_norms;
        token_residuals(&mut recording, projections, reconstructed, panel.coefficients, norms, b.token_words);
        fit.run_once(recording)?;
        residuals.extend(fit.read::<f32>(b.token_words, panel.activations.rows.into()).await?);
    }
    Ok(residuals)
}
