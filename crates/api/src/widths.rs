//! The widths of features in the warm-up: how many neurons they keep in its iterations.

use unmix_kernels::is_sparse;

use crate::{Init, Options};

/// Widths of the features after each of the first iterations of the warm-up, if the clusters explain little. A width is a multiple of the
/// number of neurons that features keep in the end.
const WIDTHS: [u32; 5] = [4, 4, 2, 2, 2];

/// The largest number of neurons that a feature may keep during the fit. `kept` is the number in the end.
pub(crate) fn widest(options: &Options, kept: u32, neurons: u32) -> u32 {
    let widest = WIDTHS[0].saturating_mul(kept);
    // Coordinate descent on the features takes their kept neurons from the iteration before.
    let is_free = options.solver.updates().features.solves_least_squares();
    let wide = options.warm_up > 0 && options.init == Init::Kmeans && is_free && is_sparse(widest, neurons);
    if wide { widest } else { kept }
}

/// The width after each of the `iterations` iterations of the warm-up, as a multiple of the number of neurons in the end. The last width is
/// 1.
pub(crate) fn widths(iterations: u32, wide: bool) -> impl Iterator<Item = u32> {
    let first = WIDTHS.into_iter().take(iterations.saturating_sub(1) as usize).filter(move |_| wide);
    first.chain(std::iter::repeat(1)).take(iterations as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SemiNmf, Solver};

    #[test]
    fn features_are_wider_only_in_a_warm_up_and_while_they_are_sparse() {
        let kmeans = SemiNmf::new(10).solver(Solver::ProjectedLs);
        assert_eq!([16, 48, 49, 1536].map(|kept| widest(&kmeans.options(1536), kept, 1536)), [64, 192, 49, 1536]);
        for settings in [kmeans.clone().warm_up(0), kmeans.init(Init::Random)] {
            assert_eq!(widest(&settings.options(1536), 16, 1536), 16);
        }
    }

    #[test]
    fn the_last_iteration_leaves_as_many_neurons_as_features_keep() {
        for iterations in 1..9 {
            assert_eq!(widths(iterations, true).last(), Some(1));
            assert!(widths(iterations, false).all(|width| width == 1));
        }
        assert_eq!(widths(8, true).collect::<Vec<_>>(), [4, 4, 2, 2, 2, 1, 1, 1]);
    }
}
