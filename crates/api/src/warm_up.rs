//! Iterations on a sample of the tokens, which cost little and spare passes over all of them.

use unmix_kernels::Recording;

use crate::buffers::PanelBuffers;
use crate::fit::Fit;
use crate::kmeans::step;
use crate::options::RELAXATION;
use crate::solvers::Plan;
use crate::{Error, Options, Solver};

/// The sample is every so-many-th token: the iterations together cost about one pass.
const EVERY: u32 = 7;
/// Fewest sampled tokens for each feature; with fewer, features fit the sample rather than the activations.
const FEWEST_TOKENS: u64 = 6;
/// Most sampled tokens for each feature; more teach nothing new.
const MOST_TOKENS: u64 = 64;

/// One token of so many is sampled; `None` if there are too few tokens for a sample.
fn every(tokens: u64, rank: u32) -> Option<u32> {
    let rank = u64::from(rank);
    (tokens / u64::from(EVERY) >= FEWEST_TOKENS * rank).then(|| step(tokens / (MOST_TOKENS * rank)).max(EVERY))
}

/// Improves the features of the start by projected least squares on the sample, and leaves the coefficients zero.
pub(crate) fn warm_up(fit: &Fit<'_>) -> Result<(), Error> {
    let Some(every) = every(fit.tokens, fit.options.rank).filter(|_| fit.options.warm_up > 0) else {
        return Ok(());
    };
    let relaxation = if fit.options.solver == Solver::ProjectedLs { fit.options.relaxation } else { RELAXATION };
    let options = Options { solver: Solver::ProjectedLs, relaxation, ..fit.options.clone() };
    let plan = Plan { options: &options, ..fit.plan() };
    let panels: Vec<PanelBuffers> = fit.buffers.panels.iter().map(|panel| sampled(fit, panel, every)).collect();

    let [first, next] = [0.0, relaxation].map(|amount| fit.session.prepare(plan.features_step(amount)));
    let (first, next) = (first?, next?);
    let gram = fit.session.prepare(plan.feature_gram_step())?;
    let mut pass = Recording::new();
    for (index, panel) in panels.iter().enumerate() {
        unmix_kernels::squared_norm(&mut pass, panel.activations, panel.squared_norms, fit.scale);
        plan.visit(&mut pass, panel, index > 0);
    }
    let pass = fit.session.prepare(pass)?;
    for iteration in 0..options.warm_up {
        gram.run()?;
        pass.run()?;
        // The features from which the first one comes are of another scale.
        if iteration == 0 {
            first.run()?;
        } else {
            next.run()?;
        }
    }
    let mut recording = Recording::new();
    if fit.options.solver == Solver::Hals {
        unmix_kernels::winner_take_all(&mut recording, &fit.buffers.features, 0, options.rank, true);
    }
    for panel in &panels {
        recording.clear(panel.coefficients.buffer());
    }
    fit.run_once(recording)
}

/// A panel's sampled tokens; their coefficients are its first rows.
fn sampled(fit: &Fit<'_>, panel: &PanelBuffers, every: u32) -> PanelBuffers {
    let activations = panel.activations.every_nth_row(every);
    PanelBuffers {
        activations,
        coefficients: panel.coefficients.first_rows(activations.rows),
        squared_norms: fit.buffers.sample_norms,
        ..*panel
    }
}

#[cfg(test)]
mod tests {
    use super::every;

    #[test]
    fn a_sample_has_tokens_enough_for_its_features_and_not_too_many() {
        assert_eq!([699, 7000, 9256, 1_000_000].map(|tokens| every(tokens, 100)), [None, Some(7), Some(7), Some(151)]);
    }
}
