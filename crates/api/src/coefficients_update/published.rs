//! The published update of the coefficients (Shafran, Geiger and Geva, ACL 2026): one multiplicative update in an iteration, with the
//! published ε and no floor.
//!
//! The buffers and the invariants are those of the multiplicative updates.

use unmix_kernels::Recording;

use super::multiplicative::{LEAST_EPSILON, record};
use super::update::{CoefficientsUpdate, Operands, Settings};

/// ε of the published update.
const EPSILON: f32 = 1e-6;

/// One multiplicative update as it was published.
pub(crate) struct PublishedUpdate;

impl CoefficientsUpdate for PublishedUpdate {
    fn record(&self, r: &mut Recording, on: &Operands, settings: Settings) {
        // The projections and the Gram matrix are multiplied by the square of the scale, so ε is as well.
        let epsilon = (EPSILON * settings.scale * settings.scale).clamp(LEAST_EPSILON, f32::MAX);
        record(r, on, settings, epsilon, 0.0);
    }

    fn updates(&self, _: Option<u32>) -> u32 {
        1
    }

    fn moves_zeros(&self) -> bool {
        false
    }

    fn solves_least_squares(&self) -> bool {
        false
    }

    /// With tolerance 0 the state after exactly the number of iterations that was asked for is returned, as in the publication.
    fn keeps_best(&self, tolerance: f64) -> bool {
        tolerance != 0.0
    }
}
