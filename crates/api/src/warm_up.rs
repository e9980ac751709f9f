//! Iterations on a sample of the tokens, which cost little and spare passes over all of them.

use std::ops::ControlFlow;

use unmix_kernels::{Recording, is_sparse};
use unmix_runtime::Prepared;

use crate::buffers::PanelBuffers;
use crate::fit::Fit;
use crate::kmeans::largest_prime;
use crate::solvers::Plan;
use crate::watch::Watch;
use crate::{Error, Init, Options, Progress, Stage};

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

/// How many times as many neurons features keep in the warm-up's first iterations, where clusters explain little.
const WIDTHS: [u32; 5] = [4, 4, 2, 2, 2];
/// Share of the tokens' directions that clusters must explain for features to begin with as many neurons as they shall keep. With
/// less, tokens are sums of directions rather than members of clusters, whose means mix some of them; features that can keep them
/// all tell sooner which neurons belong together. Sums of twelve random directions are at 0.15 to 0.26 and end 0.8% to 2% lower
/// with wide features; layers of a language model at 0.32 to 0.49 for 100 features and more, and end 0.2% to 0.5% higher.
const CLUSTERED: f64 = 0.3;

/// Neurons that features keep at most.
pub(crate) fn widest(options: &Options, kept: u32, neurons: u32) -> u32 {
    let widest = WIDTHS[0].saturating_mul(kept);
    let wide = options.warm_up > 0 && options.init == Init::Kmeans && is_sparse(widest, neurons);
    if wide { widest } else { kept }
}

/// Improves the features of the start by iterations on the sample, and leaves the coefficients zero. `explained` is what the
/// clusters explain of the tokens' directions. Gives whether there was a sample.
pub(crate) fn warm_up<P: FnMut(&Progress) -> ControlFlow<()>>(
    fit: &Fit<'_>,
    explained: f64,
    watch: &mut Watch<'_, P>,
) -> Result<bool, Error> {
    let Some(every) = every(fit.tokens, fit.options.rank).filter(|_| fit.options.warm_up > 0) else {
        return Ok(false);
    };
    let kept = fit.buffers.features.kept;
    let wide = explained < CLUSTERED && widest(&fit.options, kept, fit.neurons) > kept;
    log::debug!("clusters explain {explained:.3} of the directions; features begin wide: {wide}");
    let panels: Vec<PanelBuffers> = fit.buffers.panels.iter().filter_map(|panel| sampled(fit, panel, every)).collect();
    // The last iteration leaves as many neurons as shall be kept.
    let widths = WIDTHS.iter().take(fit.options.warm_up as usize - 1).filter(|_| wide).copied();
    let mut prepared: Option<(Iteration, Box<dyn Prepared>)> = None;
    let mut before = None;
    let of = fit.options.warm_up;
    for (iteration, after) in (1..=of).zip(widths.chain(std::iter::repeat(1))) {
        if !watch.stage(Stage::WarmUp { iteration, of }) && before.is_none_or(|width| width == 1) {
            break;
        }
        let iteration = Iteration { before: before.unwrap_or(1), after, onward: before == Some(after) };
        if prepared.as_ref().is_none_or(|(other, _)| *other != iteration) {
            prepared = Some((iteration, fit.session.prepare(iteration.record(fit, &panels))?));
        }
        if let Some((_, steps)) = &prepared {
            steps.run()?;
        }
        before = Some(after);
    }
    let mut recording = Recording::new();
    for panel in &panels {
        recording.clear(panel.coefficients.buffer());
    }
    fit.run_once(recording)?;
    Ok(true)
}

/// A pass over the sample, and features from it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Iteration {
    /// How many times as many neurons as in the end features keep before it.
    before: u32,
    /// The same after it.
    after: u32,
    /// Whether the features go on in their direction: those before must be of the same width and no longer the start's, which
    /// are of another scale.
    onward: bool,
}

impl Iteration {
    fn record(self, fit: &Fit<'_>, panels: &[PanelBuffers]) -> Recording {
        let buffers = [self.before, self.after].map(|width| {
            let mut buffers = fit.buffers.clone();
            buffers.features.kept *= width;
            buffers
        });
        let [before, after] = buffers.each_ref().map(|buffers| Plan { buffers, ..fit.plan() });
        let mut recording = before.feature_gram();
        for (index, panel) in panels.iter().enumerate() {
            before.visit(&mut recording, panel, index > 0);
        }
        recording.append(after.features_step(if self.onward { fit.options.relaxation } else { 0.0 }));
        recording
    }
}

/// A panel's sampled tokens; their coefficients are its first rows. None if it has no such tokens.
fn sampled(fit: &Fit<'_>, panel: &PanelBuffers, every: u32) -> Option<PanelBuffers> {
    let activations = panel.activations.sampled(panel.first_row, every)?;
    Some(PanelBuffers {
        activations,
        coefficients: panel.coefficients.first_rows(activations.rows),
        squared_norms: fit.buffers.sample_norms,
        ..*panel
    })
}

#[cfg(test)]
mod tests {
    use super::{every, widest};
    use crate::{Init, SemiNmf};

    #[test]
    fn a_sample_has_tokens_enough_for_its_features_and_not_too_many() {
        assert_eq!(
            [7_499, 7_500, 9_256, 1_000_000].map(|tokens| every(tokens, 100)),
            [None, Some(5), Some(5), Some(151)]
        );
    }

    #[test]
    fn features_are_wider_only_in_a_warm_up_and_while_they_are_sparse() {
        let kmeans = SemiNmf::new(10);
        assert_eq!([16, 48, 49, 1536].map(|kept| widest(&kmeans.options(), kept, 1536)), [64, 192, 49, 1536]);
        for settings in [kmeans.clone().warm_up(0), kmeans.init(Init::Random)] {
            assert_eq!(widest(&settings.options(), 16, 1536), 16);
        }
    }
}
