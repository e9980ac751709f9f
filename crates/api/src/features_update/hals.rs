//! Hierarchical alternating least squares on the features (Cichocki and Phan 2009): one feature after the other goes to its least
//! squares, with the others as they are, and is cut and brought to norm 1.
//!
//! Features are updated in place, so that they need memory beside the cross product. The dense features are read whole.

use unmix_kernels::{Recording, Ridge, hals_features, projected_least_squares, winner_take_all};

use super::update::{FeaturesUpdate, Operands, Settings};

/// Coordinate descent on features of norm 1.
pub(crate) struct HalsFeatures;

impl FeaturesUpdate for HalsFeatures {
    /// There must be features to descend from, and zeros are far off where the start's coefficients overlap.
    fn start(&self, r: &mut Recording, on: &Operands<'_>, settings: Settings) {
        projected_least_squares(r, on.sums, on.features, Ridge::Relative(settings.ridge), 0.0);
        winner_take_all(r, on.features, 0, on.features.dense.rows, true);
    }

    fn record(&self, r: &mut Recording, on: &Operands<'_>, _: Settings) {
        for feature in 0..on.features.dense.rows {
            hals_features(r, on.sums.cross, on.sums.gram, on.features.dense, feature);
            winner_take_all(r, on.features, feature, 1, true);
        }
    }

    fn keeps_unit_norm(&self) -> bool {
        true
    }

    fn solves_least_squares(&self) -> bool {
        false
    }
}
