//! Hierarchical alternating least squares on the features (Cichocki and Phan 2009). One feature after the other moves to its least-squares
//! value while the others are fixed. Then it is cut and brought to norm 1.
//!
//! The features are updated in place, so they cannot share memory with the cross product. All of the dense features are read. The cross
//! product is used up.

use unmix_kernels::{Recording, Ridge, hals_sweep, projected_least_squares, winner_take_all};

use super::update::{FeaturesUpdate, Operands, Settings};

/// Coordinate descent on features of norm 1.
pub(crate) struct HalsFeatures;

impl FeaturesUpdate for HalsFeatures {
    /// The descent needs features to begin with. Zeros would be far off if the coefficients of the start overlap.
    fn start(&self, r: &mut Recording, on: &Operands<'_>, settings: Settings) {
        projected_least_squares(r, on.sums, on.features, Ridge::Relative(settings.ridge), 0.0);
        winner_take_all(r, on.features, true);
    }

    fn record(&self, r: &mut Recording, on: &Operands<'_>, _: Settings) {
        hals_sweep(r, on.sums.cross, on.sums.gram, on.features);
    }

    fn keeps_unit_norm(&self) -> bool {
        true
    }

    fn solves_least_squares(&self) -> bool {
        false
    }
}
