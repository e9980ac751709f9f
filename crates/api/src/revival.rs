//! Revival: a feature whose coefficients are all zero is replaced by something that the other features explain badly.

use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand_chacha::ChaCha8Rng;
use unmix_kernels::{Recording, project, projection, token_residuals};

use crate::Error;
use crate::fit::Fit;
use crate::kept_entries::KeptEntries;
use crate::panels::Panel;
use crate::token_rows::{activations_of, coefficients_of};

/// The kept entries of a new feature: its neurons in ascending order, and their values.
pub(crate) struct Replacement {
    pub neurons: Vec<u32>,
    pub values: Vec<f32>,
}

/// Makes a new feature for each dead one. It is the residual of a token, cut to the m largest magnitudes. The token is drawn from `panels`,
/// which may be samples and have coefficients, with a probability proportional to its squared residual. The next pass finds the
/// coefficients, which start from zero.
pub(crate) async fn replacements(
    fit: &Fit<'_>,
    panels: &[Panel],
    dead: &[u32],
    rng: &mut ChaCha8Rng,
) -> Result<Vec<(u32, Replacement)>, Error> {
    if dead.is_empty() {
        return Ok(Vec::new());
    }
    let residuals = token_residuals_of(fit, panels).await?;
    let Ok(mut weights) = WeightedIndex::new(&residuals) else {
        return Ok(Vec::new()); // Nothing is left to explain.
    };
    let (neurons, values) = fit.io.read_entries(KeptEntries::of(&fit.buffers.features)).await?;
    let kept = fit.buffers.features.kept as usize;
    let mut replacements = Vec::new();
    for &feature in dead {
        let place = weights.sample(rng);
        let token = token_at(panels, place as u32);
        let mut residual: Vec<f64> =
            activations_of(fit, token, fit.neurons).await?.into_iter().map(f64::from).collect();
        for (k, &y) in coefficients_of(fit, panels, token).await?.iter().enumerate().filter(|(_, y)| **y != 0.0) {
            for (&neuron, &z) in neurons[k * kept..][..kept].iter().zip(&values[k * kept..]) {
                residual[neuron as usize] -= f64::from(y) * f64::from(z);
            }
        }
        if let Some(replacement) = cut(fit, &residual) {
            replacements.push((feature, replacement));
        }
        // A token is drawn only once, because two features of one token would be equal.
        if weights.update_weights(&[(place, &0.0)]).is_err() {
            break;
        }
    }
    log::debug!("reviving {} of {} dead features", replacements.len(), dead.len());
    Ok(replacements)
}

/// The number of the token at this place among the tokens of the panels of all ranks. They are all tokens, or one of every so many.
fn token_at(panels: &[Panel], place: u32) -> u32 {
    panels.first().map_or(place, |panel| panel.first_token % panel.every + place * panel.every)
}

/// Approximates ‖xᵢ − yᵢZ‖² of the tokens of the panels of all ranks, for the scaled activations, at every rank. It uses only the kept entries, because the cross product may be in
/// the memory of the dense features.
async fn token_residuals_of(fit: &Fit<'_>, panels: &[Panel]) -> Result<Vec<f32>, Error> {
    let b = &fit.buffers;
    let mut residuals = Vec::new();
    for panel in panels {
        let (projections, reconstructed, y) = (b.projections(panel), b.previous(panel), b.coefficients(panel));
        let mut recording = Recording::new();
        project(&mut recording, panel.activations, &b.features, projections, fit.measured.scale);
        projection(&mut recording, y, b.feature_gram, reconstructed, 1.0);
        token_residuals(&mut recording, projections, reconstructed, y, b.squared_norms(panel), b.token_words);
        fit.io.run_once(recording)?;
        residuals.extend(fit.io.read::<f32>(b.token_words, panel.rows().into()).await?);
    }
    Ok(fit.distribution.communicator().joined(residuals))
}

fn cut(fit: &Fit<'_>, residual: &[f64]) -> Option<Replacement> {
    let kept = fit.buffers.features.kept as usize;
    let mut neurons: Vec<u32> = (0..residual.len() as u32).collect();
    neurons.sort_by(|&a, &b| residual[b as usize].abs().total_cmp(&residual[a as usize].abs()));
    neurons.truncate(kept);
    neurons.sort_unstable();
    let norm = neurons.iter().map(|&j| residual[j as usize].powi(2)).sum::<f64>().sqrt();
    // If the features carry the magnitude, any norm will do.
    let divisor = if fit.options.solver.updates().features.keeps_unit_norm() { norm } else { 1.0 };
    let values = neurons.iter().map(|&j| (residual[j as usize] / divisor) as f32).collect();
    (norm > 0.0 && norm.is_finite()).then_some(Replacement { neurons, values })
}

#[cfg(test)]
mod tests {
    use unmix_kernels::ElementType;
    use unmix_runtime::{CpuEngine, Engine, PanelLayout};

    use super::*;
    use crate::SemiNmf;
    use crate::panels::panels_of;
    use crate::sample::Sample;

    #[test]
    fn the_token_at_a_place_is_the_one_whose_residual_is_there() {
        let layout = PanelLayout { tokens: 1_000, neurons: 8, element: ElementType::F32, panel_rows: 130, stride: 8 };
        let panels = panels_of(&layout, 0, &SemiNmf::new(3).options(8), CpuEngine::new().limits());
        for (every, shift) in [(1, 0), (5, 0), (5, 3), (2, 1), (400, 7)] {
            let sample = Sample::shifted(&panels, every, shift).panels;
            let tokens = sample.iter().flat_map(|p| (0..p.rows()).map(|row| p.first_token + row * p.every));
            for (place, token) in (0..).zip(tokens) {
                assert_eq!(token_at(&sample, place), token, "one of every {every}, shifted by {shift}");
            }
        }
    }
}
