//! Reads the activations and the coefficients of single tokens. Each rank gets them, whichever rank has the token.

use unmix_kernels::Matrix;

use crate::Error;
use crate::fit::Fit;
use crate::gather::Gather;
use crate::panels::Panel;

/// The first `neurons` scaled activations of a token.
pub(crate) async fn activations_of(fit: &Fit<'_>, token: u32, neurons: u32) -> Result<Vec<f32>, Error> {
    let mut row = Vec::new();
    if fit.distribution.has(token) {
        let b = &fit.buffers;
        let out = Matrix { columns: neurons, stride: neurons.next_multiple_of(4), ..b.gathered };
        let gather = Gather { tokens: &[token], indices: b.gathered_tokens, out };
        gather.run(&fit.io, &fit.panels, fit.measured.scale)?;
        row = fit.io.read_row(out, 0).await?;
    }
    Ok(fit.distribution.communicator().of_rank(fit.distribution.owner_of(token), row))
}

/// The coefficients of a token of `panels`, which may be samples.
pub(crate) async fn coefficients_of(fit: &Fit<'_>, panels: &[Panel], token: u32) -> Result<Vec<f32>, Error> {
    let mut row = Vec::new();
    if fit.distribution.has(token) {
        let panel = &panels[panels.partition_point(|panel| panel.first_token <= token) - 1];
        row = fit.io.read_row(fit.buffers.coefficients(panel), (token - panel.first_token) / panel.every).await?;
    }
    Ok(fit.distribution.communicator().of_rank(fit.distribution.owner_of(token), row))
}
