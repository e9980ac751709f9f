//! P = X Ẑᵀ, in panels of rows.

use rayon::prelude::*;
use unmix::{ActivationSource, DenseMatrix};
use unmix_data::{PanelBuffer, Panels};

use super::{ExportError, ScaledFit};
use crate::rows::{nonzeros, squared_norm};

/// The projections of the activations onto the features.
pub(super) struct Projections {
    /// P [n, K].
    pub values: DenseMatrix,
    /// ‖X‖².
    pub squared_norm: f64,
}

impl Projections {
    /// Reads the activations once, panel by panel. P takes as much memory as the coefficients. Sums are in f64.
    pub fn new(fit: &ScaledFit, source: &dyn ActivationSource) -> Result<Projections, ExportError> {
        let (tokens, neurons, rank) = (fit.tokens(), fit.neurons(), fit.rank());
        if (source.tokens(), source.neurons()) != (tokens as u64, neurons as u64) {
            return Err(ExportError::Mismatch {
                what: "the matrix of activations",
                found: format!("{} × {}", source.tokens(), source.neurons()),
                expected: format!(
                    "the fit is of {tokens} tokens × {neurons} neurons; give the activations that were fitted"
                ),
            });
        }
        let features: Vec<Vec<(usize, f64)>> = (0..rank).map(|k| nonzeros(fit.features.row(k)).collect()).collect();
        let panels = Panels::new(source);
        let mut values = vec![0f32; tokens * rank];
        // One sum for each panel, so that the total does not depend on the number of cores.
        let norms: Result<Vec<f64>, unmix_data::Error> = values
            .par_chunks_mut(panels.rows() * rank)
            .enumerate()
            .map_init(PanelBuffer::default, |buffer, (panel, out)| {
                let mut norm = 0.0;
                let rows = panels.values(panels.range(panel), buffer)?;
                for (x, out) in rows.chunks_exact(neurons).zip(out.chunks_exact_mut(rank)) {
                    norm += squared_norm(x);
                    for (out, feature) in out.iter_mut().zip(&features) {
                        *out = feature.iter().map(|&(j, z)| z * f64::from(x[j])).sum::<f64>() as f32;
                    }
                }
                Ok(norm)
            })
            .collect();
        let squared_norm: f64 = norms?.iter().sum();
        if !(squared_norm.is_finite() && values.iter().all(|p| p.is_finite())) {
            return Err(ExportError::Range(
                "the activations hold a NaN, an infinity or numbers beyond f32 once projected; give those that were fitted"
                    .to_owned(),
            ));
        }
        Ok(Projections { values: DenseMatrix { rows: tokens, columns: rank, values }, squared_norm })
    }
}
