//! The parts of a run of a consensus: which tokens and neurons its iterations see.
//!
//! Each part begins with coefficients of zero. So between two parts the features alone matter. The first iterations see samples of the
//! tokens, and revive dead features. The last ones see all tokens, and let the features settle. If there are many neurons, most iterations see
//! the first ones alone. Then the last iterations see half of the tokens.

use crate::fit::Fit;
use crate::panels::Panel;
use crate::sample::{COMPARED_NEURONS, Sample};

/// The first iterations of a run.
const FIRST: Sampling = Sampling { every: 5, fewest: 15 };
/// Runs that see all neurons in all iterations.
const OF_ALL_NEURONS: Settling = Settling { sampling: Sampling { every: 1, fewest: 0 }, penalty_factor: 1.4 };
/// Runs that see the first neurons alone in most iterations. With a larger penalty, the error of the result would be above that of one run.
const OF_FIRST_NEURONS: Settling = Settling { sampling: Sampling { every: 2, fewest: 30 }, penalty_factor: 1.2 };
/// Neurons that the first iterations see: the first ones, which need no copy. In a model, the order of neurons means nothing.
pub(crate) const FIRST_NEURONS: u32 = COMPARED_NEURONS;
/// Number of the last iterations. With more of them features come back a little more often, and a run takes longer.
const LAST_ITERATIONS: u32 = 3;
/// Number of iterations in which the runs see all neurons, the first of which still projects the tokens on features of some.
const WHOLE_ITERATIONS: u32 = 2;

/// Which tokens the iterations of a run see.
#[derive(Clone, Copy)]
pub(crate) struct Sampling {
    /// One token of every so many. Consecutive runs have different ones.
    every: u32,
    /// All tokens are seen if the sample would have fewer than this number for each feature.
    fewest: u64,
}

/// How runs differ from fits, and how they end.
#[derive(Clone, Copy)]
pub(crate) struct Settling {
    /// What the last iterations see. With all tokens, features come back more often than with half of them.
    pub sampling: Sampling,
    /// The runs have a penalty that is larger by this factor. Their coefficients are sparser, and `reproducibility` says better how well a
    /// feature comes back.
    pub penalty_factor: f64,
}

/// Some consecutive iterations of a run.
pub(crate) struct Part {
    pub kind: PartKind,
    pub sampling: Sampling,
    /// Number of iterations that are done when it ends.
    pub until: u32,
}

/// What the iterations of a part see and do.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum PartKind {
    /// They see the neurons that most iterations see, and revive dead features.
    Reviving,
    /// They see these neurons, and let the features settle.
    Settling,
    /// There is one iteration. It sees these neurons, and then finds features over all neurons.
    Widening,
    /// They see all neurons.
    Whole,
}

impl Settling {
    /// How runs settle. `is_narrow` says whether most iterations see the first neurons alone.
    pub fn of(is_narrow: bool) -> Self {
        if is_narrow { OF_FIRST_NEURONS } else { OF_ALL_NEURONS }
    }
}

/// The parts of runs with so many iterations whose start gives features.
///
/// The last iterations begin with coefficients of zero as well, even if all iterations see the same tokens: where the features have much in
/// common, coefficients that went on would leave some features to few tokens.
pub(crate) fn parts(iterations: u32, is_narrow: bool) -> Vec<Part> {
    let sampling = Settling::of(is_narrow).sampling;
    let part = |kind, sampling, until| Part { kind, sampling, until };
    let narrow_until = if is_narrow { iterations.saturating_sub(WHOLE_ITERATIONS) } else { iterations };
    let mut parts = vec![
        part(PartKind::Reviving, FIRST, iterations.saturating_sub(LAST_ITERATIONS)),
        part(PartKind::Settling, sampling, narrow_until),
    ];
    if is_narrow {
        parts.push(part(PartKind::Widening, sampling, narrow_until + 1));
        parts.push(part(PartKind::Whole, sampling, iterations));
    }
    parts
}

impl Sampling {
    /// What each of some runs sees, the first of which is run `number`.
    pub fn panels_of(self, fits: &[Fit<'_>], number: u32) -> Vec<Vec<Panel>> {
        fits.iter().zip(number..).map(|(fit, number)| self.panels(fit, number)).collect()
    }

    /// The panels of a run, or samples of their rows if there are tokens enough.
    fn panels(self, fit: &Fit<'_>, number: u32) -> Vec<Panel> {
        if fit.tokens >= u64::from(self.every) * self.fewest * u64::from(fit.options.rank) {
            Sample::shifted(&fit.panels, self.every, number % self.every).panels
        } else {
            fit.panels.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_one_another_and_end_with_the_iterations_however_few_there_are() {
        for iterations in 1..20 {
            for is_narrow in [false, true] {
                let parts = parts(iterations, is_narrow);
                assert!(parts.is_sorted_by_key(|part| part.until));
                assert_eq!(parts.last().map(|part| part.until), Some(iterations));
                assert_eq!(parts.iter().any(|part| part.kind == PartKind::Widening), is_narrow);
            }
        }
    }
}
