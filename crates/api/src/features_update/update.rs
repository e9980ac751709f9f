//! The interface of an update of the features.

use unmix_kernels::{BufferId, Features, LeastSquares, Matrix, Recording};

/// What an update of the features reads and writes.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    /// YᵀX [K, d] and YᵀY [K, K], with memory for a Cholesky factor of YᵀY. YᵀX may share its memory with the dense features. The update
    /// may use up both.
    pub sums: &'a LeastSquares,
    /// Z. Before the update these are the features for which the coefficients were found.
    pub features: &'a Features,
    /// ZZᵀ [K, K] of the features before the update.
    pub feature_gram: Matrix,
    /// The factors \[K\] by which the columns of Y must be multiplied after the update.
    pub scales: BufferId,
}

/// Settings of an update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Ridge of least squares. The update says whether it is a share or an absolute number.
    pub ridge: f32,
    /// Over-relaxation of least squares.
    pub relaxation: f32,
}

/// An update of the features. It sees the cross product and the Gram matrix of the coefficients, but not the activations.
pub(crate) trait FeaturesUpdate: Sync {
    /// Records the commands before the first update, in a fit that starts from coefficients.
    fn start(&self, _r: &mut Recording, _on: &Operands<'_>, _settings: Settings) {}

    /// Records an update.
    fn record(&self, r: &mut Recording, on: &Operands<'_>, settings: Settings);

    /// The ridge if the caller gives none.
    fn default_ridge(&self) -> f64 {
        1e-7
    }

    /// Whether features keep norm 1, so that the coefficients carry the magnitude. Otherwise the update writes scales that bring the
    /// columns of Y to norm 1, and the next pass applies them.
    fn keeps_unit_norm(&self) -> bool;

    /// Whether the features before the cut are the least-squares solution for the coefficients. Such features depend on the earlier ones
    /// only through over-relaxation, and are computed in the memory of the cross product.
    fn solves_least_squares(&self) -> bool;
}
