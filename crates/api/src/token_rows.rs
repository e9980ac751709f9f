//! Rows of chosen tokens: their activations and coefficients.

use unmix_kernels::{Matrix, Recording, gather_rows};

use crate::fit::Fit;
use crate::{DenseMatrix, Error};

/// The first `neurons` scaled activations of chosen tokens, at most [`GATHERED_ROWS`](crate::buffers::GATHERED_ROWS) of them, one
/// row each.
pub(crate) async fn activations_of(fit: &Fit<'_>, tokens: &[u32], neurons: u32) -> Result<DenseMatrix, Error> {
    let b = &fit.buffers;
    fit.io.write(b.gathered_tokens, tokens)?;
    let stride = neurons.next_multiple_of(4);
    let out = Matrix { rows: tokens.len() as u32, columns: neurons, stride, ..b.gathered };
    let mut recording = Recording::new();
    for panel in &fit.panels {
        if tokens.iter().any(|&token| panel.contains(token)) {
            let activations = panel.first_neurons(neurons).activations;
            gather_rows(&mut recording, activations, panel.first_token, b.gathered_tokens, out, fit.measured.scale);
        }
    }
    fit.io.run_once(recording)?;
    fit.io.read_matrix(out).await
}

/// The coefficients of a token.
pub(crate) async fn coefficients_of(fit: &Fit<'_>, token: u32) -> Result<Vec<f32>, Error> {
    let panel = &fit.panels[fit.panels.partition_point(|panel| panel.first_token <= token) - 1];
    fit.io.read_row(fit.buffers.coefficients(panel), token - panel.first_token).await
}
