//! How many neurons features keep in the iterations of the warm-up.

use unmix_kernels::is_sparse;

use crate::{Init, Options};

/// Where clusters explain little, features keep so many times as many neurons as in the end after the first iterations of the
/// warm-up.
const WIDTHS: [u32; 5] = [4, 4, 2, 2, 2];

/// The number of neurons that features keep at most, given how many they keep in the end.
pub(crate) fn widest(options: &Options, kept: u32, neurons: u32) -> u32 {
    let widest = WIDTHS[0].saturating_mul(kept);
    let wide = options.warm_up > 0 && options.init == Init::Kmeans && is_sparse(widest, neurons);
    if wide { widest } else { kept }
}

/// The width after each of `iterations` iterations of the warm-up, in multiples of the final number of neurons. The last one is 1.
pub(crate) fn widths(iterations: u32, wide: bool) -> impl Iterator<Item = u32> {
    let first = WIDTHS.into_iter().take(iterations.saturating_sub(1) as usize).filter(move |_| wide);
    first.chain(std::iter::repeat(1)).take(iterations as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SemiNmf;

    #[test]
    fn features_are_wider_only_in_a_warm_up_and_while_they_are_sparse() {
        let kmeans = SemiNmf::new(10);
        assert_eq!([16, 48, 49, 1536].map(|kept| widest(&kmeans.options(), kept, 1536)), [64, 192, 49, 1536]);
        for settings in [kmeans.clone().warm_up(0), kmeans.init(Init::Random)] {
            assert_eq!(widest(&settings.options(), 16, 1536), 16);
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
