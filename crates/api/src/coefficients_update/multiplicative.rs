//! Multiplicative updates of the coefficients, several in an iteration.
//!
//! An update needs a second buffer for the coefficients before it. A coefficient of zero stays zero. So starts must be positive, and a
//! floor keeps the coefficients above zero. (Their columns have norm 1.)

use unmix_kernels::{InnerSum, Recording, inner_product, multiplicative_update, normalize_coefficients};

use super::update::{CoefficientsUpdate, Operands, Settings};

/// Least value of a coefficient.
const FLOOR: f32 = 1e-9;
/// Smallest ε. It keeps a quotient of zeros finite.
pub(super) const LEAST_EPSILON: f32 = 1e-30;

/// Several multiplicative updates.
pub(crate) struct MultiplicativeUpdates;

impl CoefficientsUpdate for MultiplicativeUpdates {
    fn record(&self, r: &mut Recording, on: &Operands, settings: Settings) {
        record(r, on, settings, LEAST_EPSILON, FLOOR);
    }

    fn updates(&self, asked: Option<u32>) -> u32 {
        asked.unwrap_or(4)
    }

    fn moves_zeros(&self) -> bool {
        false
    }

    fn solves_least_squares(&self) -> bool {
        false
    }
}

/// Records the updates, with what comes before and after them.
pub(super) fn record(r: &mut Recording, on: &Operands, settings: Settings, epsilon: f32, floor: f32) {
    let Operands { feature_gram, projections, coefficients, previous, .. } = *on;
    if let Some(scales) = on.scales {
        normalize_coefficients(r, scales, coefficients);
    }
    for _ in 0..settings.updates {
        r.copy(coefficients.buffer(), previous.buffer(), coefficients.elements() * 4);
        multiplicative_update(r, projections, feature_gram, previous, coefficients, epsilon, floor);
    }
    if settings.inner != InnerSum::Skipped {
        inner_product(r, coefficients, projections, on.inner, settings.inner == InnerSum::Continued);
    }
}
