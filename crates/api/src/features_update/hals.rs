//! Hierarchical alternating least squares on the features (Cichocki and Phan 2009). One feature after the other moves to its least-squares
//! value while the others are fixed. Then it is cut and brought to norm 1.
//!
//! The features are updated in place, so they cannot share memory with the cross product. All of the dense features are read. The cross
//! product is used up.
//!
//! Where tokens of one kind differ in their norm, or all tokens have much in common, several features would end as near copies of one
//! another. So features whose cosine is above a bound push one another apart. As long as there are none, the descent is that on the
//! objective alone.

use unmix_kernels::{
    Coherence, Recording, Ridge, coherence_penalty, feature_gram, hals_sweep, least_squares, winner_take_all,
};

use super::update::{FeaturesUpdate, Operands, Settings};

/// From this cosine on, two features are pushed apart. On layers of a language model, a strength of 0.1 keeps all pairs below 0.9, and the
/// error is the same to its third digit. At a strength of 0.03 some near copies are left, and at 1 features die.
const COHERENCE: Coherence = Coherence { bound: 0.8, strength: 0.1 };

/// Coordinate descent on features of norm 1.
pub(crate) struct HalsFeatures;

impl FeaturesUpdate for HalsFeatures {
    /// The descent needs features to begin with. Zeros would be far off if the coefficients of the start overlap.
    fn start(&self, r: &mut Recording, on: &Operands<'_>, settings: Settings) {
        least_squares(r, on.sums, on.features, Ridge::Relative(settings.ridge));
        winner_take_all(r, on.features, true);
        feature_gram(r, on.features, on.feature_gram);
    }

    fn record(&self, r: &mut Recording, on: &Operands<'_>, _: Settings) {
        coherence_penalty(r, on.feature_gram, on.sums.gram, COHERENCE);
        hals_sweep(r, on.sums.cross, on.sums.gram, on.features);
    }

    fn keeps_unit_norm(&self) -> bool {
        true
    }

    fn solves_least_squares(&self) -> bool {
        false
    }
}
