//! What the factors in place leave of each token.

use unmix_kernels::{Recording, squared_residual};

use crate::Error;
use crate::buffers::PanelBuffers;
use crate::fit::Fit;

/// ‖xᵢ − yᵢZ‖² of a panel's tokens, of the scaled activations. The features must be in place as a dense matrix.
pub(crate) async fn squared_residuals(fit: &Fit<'_>, panel: &PanelBuffers) -> Result<Vec<f32>, Error> {
    let b = &fit.buffers;
    let mut recording = Recording::new();
    let (x, y) = (panel.activations, panel.coefficients);
    squared_residual(&mut recording, x, y, b.features.dense, b.token_words, fit.scale);
    fit.run_once(recording)?;
    fit.read(b.token_words, x.rows.into()).await
}
