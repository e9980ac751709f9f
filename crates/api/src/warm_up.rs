//! Iterations on a sample of the tokens, which cost little and spare passes over all of them.

use unmix_kernels::{Recording, squared_norm};

use crate::Error;
use crate::buffers::PanelBuffers;
use crate::fit::Fit;
use crate::kmeans::largest_prime;

/// The sample is every so-many-th token, or fewer: the iterations together cost a pass or two.
const EVERY: u32 = 5;
/// Fewest sampled tokens for each feature; from fewer come features that stand for single tokens less often.
const FEWEST_TOKENS: u64 = 15;
/// Most sampled tokens for each feature; more teach nothing new.
const MOST_TOKENS: u64 = 64;

/// One token of so many is sampled; `None` if there are too few tokens for a sample.
fn every(tokens: u64, rank: u32) -> Option<u32> {
    let rank = u64::from(rank);
    (tokens / u64::from(EVERY) >= FEWEST_TOKENS * rank).then(|| largest_prime(tokens / (MOST_TOKENS * rank)).max(EVERY))
}

/// Improves the features of the start by iterations on the sample, and leaves the coefficients zero.
pub(crate) fn warm_up(fit: &Fit<'_>) -> Result<(), Error> {
    let Some(every) = every(fit.tokens, fit.options.rank).filter(|_| fit.options.warm_up > 0) else {
        return Ok(());
    };
    let plan = fit.plan();
    let panels: Vec<PanelBuffers> = fit.buffers.panels.iter().map(|panel| sampled(fit, panel, every)).collect();

    let [first, next] = [0.0, fit.options.relaxation].map(|amount| fit.session.prepare(plan.features_step(amount)));
    let (first, next) = (first?, next?);
    let gram = fit.session.prepare(plan.feature_gram_step())?;
    let mut pass = Recording::new();
    for (index, panel) in panels.iter().enumerate() {
        squared_norm(&mut pass, panel.activations, panel.squared_norms, fit.scale);
        plan.visit(&mut pass, panel, index > 0);
    }
    let pass = fit.session.prepare(pass)?;
    for iteration in 0..fit.options.warm_up {
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
        assert_eq!(
            [7_499, 7_500, 9_256, 1_000_000].map(|tokens| every(tokens, 100)),
            [None, Some(5), Some(5), Some(151)]
        );
    }
}
