//! Norms of tokens.

use rayon::prelude::*;
use unmix::ActivationSource;

use crate::Error;
use crate::panels::{PanelBuffer, Panels};

/// ‖x‖² of each token in f64, taken in one read on all cores. It is not finite if a number of the token is not.
pub(crate) fn squared_norms(source: &dyn ActivationSource) -> Result<Vec<f64>, Error> {
    let panels = Panels::new(source);
    let of_panel = |buffer: &mut PanelBuffer, panel| -> Result<Vec<f64>, Error> {
        let values = panels.values(panels.range(panel), buffer)?;
        Ok(values.chunks_exact(panels.neurons()).map(squared_norm).collect())
    };
    let norms: Result<Vec<Vec<f64>>, Error> =
        (0..panels.count()).into_par_iter().map_init(PanelBuffer::default, of_panel).collect();
    Ok(norms?.concat())
}

fn squared_norm(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value) * f64::from(value)).sum()
}
