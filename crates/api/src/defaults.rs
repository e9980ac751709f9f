//! What a fit takes where the caller says nothing.

use crate::Solver;

/// Weight of the penalty with at most [`PENALTY_RANK`] features. `docs/fitting.md` shows what it was chosen by.
const PENALTY: f64 = 0.06;
/// With more features than this, the penalty is smaller.
const PENALTY_RANK: f64 = 100.0;

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

/// Number of iterations of the warm-up. With a penalty, it falls in most of them.
pub(crate) fn warm_up(is_penalized: bool) -> u32 {
    if is_penalized { 22 } else { 8 }
}

/// Weight of the penalty with `rank` features: 0.06 · (100 / K)^¼ with more than 100 of them.
///
/// The number s of features that a token uses grows about as √K. If they share the token alike, each has a coefficient of ‖x‖ / √s. The
/// penalty takes α‖x‖ of each. So with α ∝ 1 / √s it takes the same share of every coefficient, however many features there are.
pub(crate) fn penalty(rank: u32) -> f64 {
    rounded_penalty(PENALTY * (PENALTY_RANK / f64::from(rank).max(PENALTY_RANK)).powf(0.25))
}

/// A penalty as a whole number of ten-thousandths. So a user who gives the one that `run.json` shows has the same fit, and its bits do not
/// depend on how a machine computes powers.
pub(crate) fn rounded_penalty(penalty: f64) -> f64 {
    const PARTS: f64 = 1e4;
    (penalty * PARTS).round() / PARTS
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
    fn the_penalty_falls_as_the_fourth_root_of_the_rank_above_100_features() {
        for (rank, expected) in [(1, 0.06), (20, 0.06), (100, 0.06), (200, 0.0505), (400, 0.0424), (1600, 0.03)] {
            assert_eq!(SemiNmf::new(rank).options(64).penalty, expected, "{rank} features");
        }
    }

    #[test]
    fn a_penalty_that_was_given_does_not_depend_on_the_rank() {
        assert_eq!(SemiNmf::new(100).penalty(0.05).rank(400).options(64).penalty, 0.05);
        assert_eq!(SemiNmf::new(100).rank(400).options(64).penalty, 0.0424);
    }

    #[test]
    fn solvers_without_a_penalty_keep_the_published_share() {
        for solver in [Solver::ProjectedLs, Solver::Mu, Solver::Paper] {
            assert_eq!([64, 1536, 14336].map(|neurons| kept(solver, neurons)), [1, 16, 144], "{solver:?}");
        }
    }
}
