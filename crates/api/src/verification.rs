//! Verifies the factors that are about to be returned. Their error, and how far they are from optimal, are computed from the activations
//! and the factors as they will be saved, not from the sums of the iterations.

use unmix_kernels::{Recording, project, projection};

use crate::fit::Fit;
use crate::panels::Panel;
use crate::residuals::record_squared_residuals;
use crate::session_io::rows_at_once;
use crate::{Error, shrinkage};

/// Rounding of f32, as a share of ‖X‖². By this much the error may be above the error of features of zeros, and above the loss of its
/// iteration.
const ROUNDING: f64 = 1e-6;
/// Share of the loss of its iteration by which the error may be above that loss.
const TOLERANCE: f64 = 1e-3;

/// What the verification finds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verification {
    /// ‖X − YZ‖². The residuals are computed neuron by neuron, and their squares are added in f64.
    pub loss: f64,
    /// Σᵢₖ gᵢₖ² / ‖z_k‖² of the projected gradient g of the coefficients. A coefficient of zero does not count if its gradient points below
    /// zero.
    pub coefficient_slope: f64,
    /// Number of coefficients that are negative or not finite.
    pub bad_coefficients: u64,
    /// Number of tokens that are not zero and whose squared residual is more than twice their squared norm.
    pub unsettled_tokens: u64,
}

impl Verification {
    /// Verifies the features and coefficients in place, over all tokens.
    pub async fn of(fit: &Fit<'_>) -> Result<Self, Error> {
        fit.io.run_once(fit.steps().feature_gram())?;
        let norms = feature_norms(fit).await?;
        let mut of_segments = Vec::new();
        for panels in fit.distribution.by_segment(&fit.panels) {
            let mut found = Verification::default();
            for panel in panels {
                found.add(fit, panel, &norms).await?;
            }
            let counts = [found.bad_coefficients, found.unsettled_tokens].map(|count| count as f64);
            of_segments.push([found.loss, found.coefficient_slope, counts[0], counts[1]]);
        }
        let [loss, coefficient_slope, bad, unsettled] = fit.distribution.sums(of_segments);
        Ok(Verification { loss, coefficient_slope, bad_coefficients: bad as u64, unsettled_tokens: unsettled as u64 })
    }

    /// Adds what the verification finds in a panel.
    async fn add(&mut self, fit: &Fit<'_>, panel: &Panel, norms: &[f64]) -> Result<(), Error> {
        let b = &fit.buffers;
        let (projections, reconstructed, y) = (b.projections(panel), b.previous(panel), b.coefficients(panel));
        let mut recording = Recording::new();
        record_squared_residuals(&mut recording, fit, panel);
        project(&mut recording, panel.activations, &b.features, projections, fit.measured.scale);
        projection(&mut recording, y, b.feature_gram, reconstructed, 1.0);
        fit.io.run_once(recording)?;
        let residuals: Vec<f32> = fit.io.read(b.token_words, panel.rows().into()).await?;
        let energies = panel.of_tokens(&fit.measured.token_energy);
        self.unsettled_tokens +=
            residuals.iter().zip(energies).filter(|(r, energy)| *energy > 0.0 && **r > 2.0 * energy).count() as u64;
        self.loss += residuals.into_iter().map(f64::from).sum::<f64>();
        let penalty = fit.options.solver.updates().penalty(&fit.options);
        let shrinks = !shrinkage::is_undone(fit);
        let mut energy = panel.of_tokens(&fit.measured.token_energy);
        let stride = y.stride as usize;
        let at_once = rows_at_once(y);
        for first in (0..y.rows).step_by(at_once) {
            let mut rows = Vec::with_capacity(3);
            for matrix in [y, projections, reconstructed] {
                rows.push(fit.io.read_rows(matrix, first).await?);
            }
            let [y, p, yq] = rows.as_slice() else { unreachable!("three matrices") };
            let rows = y.chunks_exact(stride).zip(p.chunks_exact(stride)).zip(yq.chunks_exact(stride));
            for (((y, p), yq), energy) in rows.zip(energy.by_ref()) {
                let threshold = penalty * f64::from(energy).sqrt();
                for (((&y, &p), &yq), &norm) in y.iter().zip(p).zip(yq).zip(norms) {
                    self.bad_coefficients += u64::from(!(y >= 0.0 && y.is_finite()));
                    if norm > 0.0 {
                        let slope = (f64::from(p) - f64::from(yq)) / norm;
                        let slope = match (y > 0.0, shrinks) {
                            (true, true) => slope - threshold,
                            (true, false) => slope,
                            (false, _) => (slope - threshold).max(0.0),
                        };
                        self.coefficient_slope += slope * slope;
                    }
                }
            }
        }
        Ok(())
    }

    /// What is wrong with the factors, if anything. `squared_norm` is ‖X‖², and `claimed` is the largest value that the loss of their
    /// iteration may have had.
    pub fn problem(&self, squared_norm: f64, claimed: f64) -> Option<String> {
        let relative = |loss: f64| if squared_norm > 0.0 { loss / squared_norm } else { loss };
        if self.bad_coefficients > 0 {
            return Some(format!("{} coefficients are negative or not finite", self.bad_coefficients));
        }
        if !self.loss.is_finite() {
            return Some("the squared error is not finite".to_owned());
        }
        let error = relative(self.loss);
        if self.loss > squared_norm * (1.0 + ROUNDING) {
            return Some(format!("the relative error is {error:.6}, but features of zero have 1"));
        }
        if self.loss > claimed * (1.0 + TOLERANCE) + ROUNDING * squared_norm {
            let claimed = relative(claimed);
            return Some(format!("the relative error is {error:.6e}, but it was {claimed:.6e} in the iteration"));
        }
        None
    }
}

/// ‖z_k‖ of each feature, from the Gram matrix of the features.
async fn feature_norms(fit: &Fit<'_>) -> Result<Vec<f64>, Error> {
    let gram = fit.io.read_matrix(fit.buffers.feature_gram).await?;
    Ok((0..gram.rows).map(|k| f64::from(gram.row(k)[k]).sqrt()).collect())
}
