//! What a fit takes where the caller says nothing.

use crate::Solver;

/// Weight of the penalty. `docs/fitting.md` shows what it was chosen by.
pub(crate) const PENALTY: f64 = 0.06;

/// Neurons of a feature of [`Solver::Hals`]: about as many as 1% of the 14,336 neurons of the published experiments.
const NEURONS: f64 = 140.0;
/// Features of [`Solver::Hals`] keep at most this share of few neurons. With more, they are hardly better, and no longer sparse.
const LARGEST_SHARE: f64 = 0.2;
/// Features keep at least this share of many neurons, which is that of the published iteration.
const PUBLISHED_SHARE: f64 = 0.01;

/// The share of `neurons` neurons that each feature keeps.
///
/// With a penalty on the coefficients, a feature may have more neurons and still stand for one thing. Least squares makes features of as many
/// neurons denser in their tokens.
pub(crate) fn sparsity(solver: Solver, neurons: u32) -> f64 {
    match solver {
        Solver::Hals => (NEURONS / f64::from(neurons.max(1))).clamp(PUBLISHED_SHARE, LARGEST_SHARE),
        Solver::ProjectedLs | Solver::Mu | Solver::Paper => PUBLISHED_SHARE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SemiNmf;

    fn kept(solver: Solver, neurons: u32) -> u32 {
        SemiNmf::new(4).solver(solver).options(neurons).kept(neurons)
    }

    #[test]
    fn features_keep_140_neurons_but_at_most_a_fifth_and_at_least_a_hundredth_of_all() {
        for (neurons, expected) in
            [(1, 1), (20, 4), (64, 13), (256, 52), (1536, 140), (5120, 140), (14000, 140), (14336, 144)]
        {
            assert_eq!(kept(Solver::Hals, neurons), expected, "{neurons} neurons");
        }
    }

    #[test]
    fn solvers_without_a_penalty_keep_the_published_share() {
        for solver in [Solver::ProjectedLs, Solver::Mu, Solver::Paper] {
            assert_eq!([64, 1536, 14336].map(|neurons| kept(solver, neurons)), [1, 16, 144], "{solver:?}");
        }
    }
}
