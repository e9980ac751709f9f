//! P = X Ẑᵀ, in panels of rows.

use rayon::prelude::*;
use unmix::{ActivationSource, DenseMatrix};

use super::{ExportError, ScaledFit};

/// Bytes of activations read at a time.
const PANEL_BYTES: u64 = 4 << 20;

/// What the features see of the activations.
pub(super) struct Projections {
    /// P [n, K].
    pub values: DenseMatrix,
    /// ‖X‖².
    pub squared_norm: f64,
}

impl Projections {
    /// Reads the activations once, panel by panel; P takes as much memory as the coefficients. Sums are taken in f64.
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
        let features: Vec<Vec<(usize, f64)>> = (0..rank).map(|k| nonzeros(fit.features.row(k))).collect();
        let row_bytes = neurons * source.element().bytes();
        let panel_rows = (PANEL_BYTES as usize / row_bytes.max(1)).max(1);
        let mut values = vec![0f32; tokens * rank];
        let (mut bytes, mut panel) = (Vec::new(), Vec::new());
        let mut squared_norm = 0.0;
        for (index, out) in values.chunks_mut((panel_rows * rank).max(1)).enumerate() {
            let (first, rows) = (index * panel_rows, out.len() / rank);
            bytes.resize(rows * row_bytes, 0);
            panel.resize(rows * neurons, 0f32);
            let range = first as u64..(first + rows) as u64;
            source.read_rows(range, &mut bytes).map_err(unmix_data::Error::Read)?;
            source.element().decode(&bytes, &mut panel);
            let mut norms = vec![0f64; rows];
            out.par_chunks_mut(rank).zip(panel.par_chunks(neurons)).zip(&mut norms).for_each(|((out, x), norm)| {
                *norm = x.iter().map(|&x| f64::from(x).powi(2)).sum();
                for (out, feature) in out.iter_mut().zip(&features) {
                    *out = feature.iter().map(|&(j, z)| z * f64::from(x[j])).sum::<f64>() as f32;
                }
            });
            squared_norm += norms.iter().sum::<f64>();
        }
        if !(squared_norm.is_finite() && values.iter().all(|p| p.is_finite())) {
            return Err(ExportError::Range(
                "the activations hold a NaN, an infinity or numbers beyond f32 once projected; give those that were fitted"
                    .to_owned(),
            ));
        }
        Ok(Projections { values: DenseMatrix { rows: tokens, columns: rank, values }, squared_norm })
    }
}

/// Indices and values of the nonzeros.
pub(super) fn nonzeros(row: &[f32]) -> Vec<(usize, f64)> {
    row.iter().enumerate().filter(|(_, z)| **z != 0.0).map(|(j, &z)| (j, f64::from(z))).collect()
}
