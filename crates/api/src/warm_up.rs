//! The warm-up: iterations on a sample of the tokens. They cost little, and make some passes over all tokens unnecessary. If there are few
//! tokens, those with a penalty see all of them.
//!
//! A penalty on the coefficients falls meanwhile (continuation, as in Hale, Yin and Zhang 2008). With a large one, a token uses few features,
//! which are close to it. So features become directions of their own before they share tokens with others.

use std::ops::ControlFlow;

use crate::defaults::rounded_penalty;
use crate::fit::Fit;
use crate::prepared_steps::PreparedSteps;
use crate::sample::Sample;
use crate::steps::Steps;
use crate::watch::Watch;
use crate::widths::{widest, widths};
use crate::{Error, Options, Progress, Stage};
use unmix_kernels::Recording;

/// If the clusters explain less than this share of the tokens' directions, the features begin wide: they keep more neurons than in the end.
/// At such a share the tokens are sums of directions rather than members of clusters, and the mean of a cluster mixes several directions.
/// Wide features can keep them all, and separate them sooner. For sums of twelve random directions the share is 0.15 to 0.26, and wide
/// features lower the final error by 0.8% to 2%. For layers of a language model with 100 features and more it is 0.32 to 0.49, and wide
/// features raise the final error by 0.2% to 0.5%.
const CLUSTERED: f64 = 0.3;

/// Weight of the penalty in the first iteration, unless that of the fit is larger. Then only features whose cosine with a token is larger
/// than this have a coefficient.
const FIRST_PENALTY: f64 = 0.36;
/// Number of the last iterations that have the penalty of the fit.
const SETTLED_ITERATIONS: u32 = 2;

/// Improves the features of the start by iterations on the sample. Afterwards the coefficients are zeros. `explained` is the share of the
/// tokens' directions that the clusters explain. Returns false if there is no sample or no iteration is wanted.
pub(crate) fn warm_up<P: FnMut(&Progress) -> ControlFlow<()>>(
    fit: &Fit<'_>,
    explained: f64,
    watch: &mut Watch<'_, P>,
) -> Result<bool, Error> {
    let of = fit.options.warm_up;
    let Some(sample) = fit.samples.warm_up.as_ref().filter(|_| of > 0) else {
        return Ok(false);
    };
    let kept = fit.buffers.features.kept;
    let wide = explained < CLUSTERED && widest(&fit.options, kept, fit.neurons) > kept;
    log::debug!("clusters explain {explained:.3} of the directions; features begin wide: {wide}");
    // The norms of k-means' sample are there.
    fit.measured.write_norms(&fit.io, &sample.panels, &fit.buffers)?;
    let mut prepared: Option<(Iteration, PreparedSteps)> = None;
    let mut before = None;
    for (iteration, after) in (1..=of).zip(widths(of, wide)) {
        if !watch.stage(Stage::WarmUp { iteration, of }) && before.is_none_or(|width| width == 1) {
            break;
        }
        let penalty = penalty(fit.options.penalty, iteration, of);
        let iteration = Iteration { before: before.unwrap_or(1), after, onward: before == Some(after), penalty };
        if prepared.as_ref().is_none_or(|(other, _)| *other != iteration) {
            prepared = Some((iteration, fit.io.prepare(iteration.record(fit, sample))?));
        }
        if let Some((_, steps)) = &prepared {
            steps.run()?;
        }
        before = Some(after);
    }
    let mut recording = Recording::new();
    for panel in &sample.panels {
        recording.clear(fit.buffers.coefficients(panel).buffer());
    }
    fit.io.run_once(recording)?;
    Ok(true)
}

/// Weight of the penalty in an iteration, from 1, of a warm-up with `of` iterations. It falls to that of the fit by the same factor in each
/// iteration.
fn penalty(of_fit: f64, iteration: u32, of: u32) -> f64 {
    let falling = of.saturating_sub(SETTLED_ITERATIONS);
    if of_fit <= 0.0 || iteration > falling {
        return of_fit;
    }
    let share = f64::from(iteration - 1) / f64::from(falling);
    rounded_penalty(FIRST_PENALTY * (of_fit / FIRST_PENALTY).powf(share)).max(of_fit)
}

/// A warm-up iteration: a pass over the sample, then an update of the features.
#[derive(Clone, Copy, PartialEq)]
struct Iteration {
    /// Width of the features before the iteration: how many neurons they keep, as a multiple of the number in the end.
    before: u32,
    /// Width of the features after the iteration.
    after: u32,
    /// Whether the features are over-relaxed. This needs earlier features of the same width. The features of the start do not count,
    /// because their scale differs.
    onward: bool,
    /// Weight of the penalty on the coefficients.
    penalty: f64,
}

impl Iteration {
    fn record(self, fit: &Fit<'_>, sample: &Sample) -> Recording {
        let [before, after] = [self.before, self.after].map(|width| {
            let mut buffers = fit.buffers.clone();
            buffers.features.kept *= width;
            buffers
        });
        let options = Options { penalty: self.penalty, ..fit.options.clone() };
        let mut recording = Steps { options: &options, buffers: &before, ..fit.steps() }.sample_pass(&sample.panels);
        let relaxation = if self.onward { fit.options.relaxation } else { 0.0 };
        recording.append(Steps { buffers: &after, ..fit.steps() }.features_step(relaxation));
        recording
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn penalties(of_fit: f64, of: u32) -> Vec<f64> {
        (1..=of).map(|iteration| penalty(of_fit, iteration, of)).collect()
    }

    #[test]
    fn the_penalty_falls_from_its_first_weight_to_that_of_the_fit() {
        assert_eq!(penalties(0.06, 6), [0.36, 0.23, 0.147, 0.0939, 0.06, 0.06]);
        for (of_fit, of) in [(0.06, 22), (0.0424, 22), (1e-6, 9), (0.06, 3)] {
            let penalties = penalties(of_fit, of);
            assert_eq!(penalties[0], FIRST_PENALTY);
            assert!(penalties.is_sorted_by(|before, after| before >= after), "{penalties:?}");
            assert_eq!(penalties[of as usize - 2..], [of_fit; 2]);
        }
    }

    #[test]
    fn a_penalty_of_zero_or_above_the_first_weight_is_the_same_in_all_iterations() {
        assert_eq!(penalties(0.0, 4), [0.0; 4]);
        assert_eq!(penalties(0.7, 4), [0.7; 4]);
        assert_eq!(penalties(0.06, 2), [0.06; 2]);
    }
}
