//! The interface of an update of the coefficients.

use unmix_kernels::{BufferId, InnerSum, Matrix, Recording};

/// What an update of the coefficients of some tokens reads and writes. Given the features, tokens do not depend on one another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operands {
    /// Q = ZZᵀ [K, K].
    pub feature_gram: Matrix,
    /// P = XZᵀ [rows, K].
    pub projections: Matrix,
    /// Y [rows, K], updated in place.
    pub coefficients: Matrix,
    /// Factors \[K\] by which the columns of Y are multiplied first, if any.
    pub scales: Option<BufferId>,
    /// A second matrix [rows, K], as working memory.
    pub previous: Matrix,
    /// ‖xᵢ‖² \[rows\], for penalties.
    pub squared_norms: BufferId,
    /// Partial sums of ⟨Y, P⟩.
    pub inner: BufferId,
}

/// Settings of an update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Number of updates, or of sweeps.
    pub updates: u32,
    /// Weight α of the penalty Σᵢₖ α‖xᵢ‖₂·yᵢₖ.
    pub penalty: f32,
    /// Power of two by which the activations are multiplied. The projections and the Gram matrix are multiplied by its square.
    pub scale: f32,
    /// What becomes of the partial sums of ⟨Y, P⟩ after the updates.
    pub inner: InnerSum,
}

/// An update of the coefficients. It sees the Gram matrix of the features and the projections, but not the activations.
pub(crate) trait CoefficientsUpdate: Sync {
    /// Records the updates of an iteration, and ⟨Y, P⟩ after them, which the loss needs.
    fn record(&self, r: &mut Recording, on: &Operands, settings: Settings);

    /// Number of updates in an iteration. `asked` is the number that the caller asks for, if any.
    fn updates(&self, asked: Option<u32>) -> u32;

    /// Whether coefficients of zero can grow. If they cannot, a fit must start from coefficients above zero, and dead features cannot be
    /// revived.
    fn moves_zeros(&self) -> bool {
        true
    }

    /// Whether the sum of the coefficients is penalized, with the norm of each token as a weight. A penalty needs features of norm 1.
    fn is_penalized(&self) -> bool {
        false
    }

    /// Whether many updates lead to the nonnegative least-squares coefficients for the features, from any start.
    fn solves_least_squares(&self) -> bool;

    /// Whether the best iterate is returned instead of the last one, if the caller does not say. `tolerance` is that of the fit.
    fn keeps_best(&self, _tolerance: f64) -> bool {
        true
    }
}
