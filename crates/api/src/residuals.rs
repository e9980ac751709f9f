//! The squared residual of each token, for the factors in place.

use unmix_kernels::{Recording, squared_residual};

use crate::fit::Fit;
use crate::panels::Panel;

/// Records ‖xᵢ − yᵢZ‖² of the scaled activations for each token of a panel. The results go to `token_words`. The features must be in place
/// as a dense matrix.
pub(crate) fn record_squared_residuals(r: &mut Recording, fit: &Fit<'_>, panel: &Panel) {
    let b = &fit.buffers;
    squared_residual(r, panel.activations, b.coefficients(panel), b.features.dense, b.token_words, fit.measured.scale);
}
