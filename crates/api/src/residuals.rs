//! What the factors in place leave of each token.

use unmix_kernels::{Recording, squared_residual};

use crate::fit::Fit;
use crate::panels::Panel;

/// Records ‖xᵢ − yᵢZ‖² of a panel's tokens, of the scaled activations, into the words of its tokens. The features must be in place as
/// a dense matrix.
pub(crate) fn record_squared_residuals(r: &mut Recording, fit: &Fit<'_>, panel: &Panel) {
    let b = &fit.buffers;
    squared_residual(r, panel.activations, b.coefficients(panel), b.features.dense, b.token_words, fit.measured.scale);
}
