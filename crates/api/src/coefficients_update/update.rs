//! What an update of the coefficients is.

use unmix_kernels::{BufferId, Matrix, Recording};

/// What an update of some tokens' coefficients reads and writes. Given the features, tokens do not depend on one another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operands {
    /// Q = ZZᵀ [K, K].
    pub feature_gram: Matrix,
    /// P = XZᵀ [rows, K]; the loss needs it after the update.
    pub projections: Matrix,
    /// Y [rows, K], updated in place.
    pub coefficients: Matrix,
    /// Room for a second matrix of that shape.
    pub previous: Matrix,
    /// ‖xᵢ‖² \[rows\], for penalties.
    pub squared_norms: BufferId,
}

/// How coefficients are updated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Number of updates, or of sweeps.
    pub updates: u32,
    /// Weight α of the penalty Σᵢₖ α‖xᵢ‖₂·yᵢₖ.
    pub penalty: f32,
    /// Power of two by which activations are multiplied: projections and Gram matrix carry its square.
    pub scale: f32,
}

/// An update of the coefficients: from the feature Gram matrix and the projections alone, without the activations.
pub(crate) trait CoefficientsUpdate: Sync {
    /// Records the updates of an iteration.
    fn record(&self, r: &mut Recording, on: &Operands, settings: Settings);

    /// Updates in an iteration, where the caller asks for so many.
    fn updates(&self, asked: Option<u32>) -> u32;

    /// Whether coefficients of zero can grow. Where they cannot, a fit must start from coefficients above zero, and a feature that
    /// has died cannot be revived.
    fn moves_zeros(&self) -> bool {
        true
    }

    /// Whether the sum of the coefficients is penalized, each token's by its norm. That needs features of norm 1.
    fn is_penalized(&self) -> bool {
        false
    }

    /// Whether many updates lead to the nonnegative least squares of the features, from wherever they start.
    fn solves_least_squares(&self) -> bool;

    /// Whether the best iterate is returned rather than the last one where the caller does not say, given the tolerance.
    fn keeps_best(&self, _tolerance: f64) -> bool {
        true
    }
}
