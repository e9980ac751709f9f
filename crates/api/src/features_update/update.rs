//! What an update of the features is.

use unmix_kernels::{BufferId, Features, LeastSquares, Recording};

/// What an update of the features reads and writes.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    /// YᵀX [K, d] and YᵀY [K, K], with room for a factor of the latter. YᵀX may have the memory of the dense features.
    pub sums: &'a LeastSquares,
    /// Z, the result, and before that the features that the coefficients were found for.
    pub features: &'a Features,
    /// Where an update leaves what the columns of Y are to be multiplied by \[K\].
    pub scales: BufferId,
}

/// How features are updated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Ridge of least squares, in the update's own unit.
    pub ridge: f32,
    /// Over-relaxation of least squares.
    pub relaxation: f32,
}

/// An update of the features: from the cross product and the coefficient Gram matrix alone, without the activations.
pub(crate) trait FeaturesUpdate: Sync {
    /// Records what goes before the first update of a fit that starts from coefficients.
    fn start(&self, _r: &mut Recording, _on: &Operands<'_>, _settings: Settings) {}

    /// Records an update.
    fn record(&self, r: &mut Recording, on: &Operands<'_>, settings: Settings);

    /// The ridge where the caller gives none.
    fn default_ridge(&self) -> f64 {
        1e-7
    }

    /// Whether features keep norm 1, so that coefficients carry the magnitude. An update that does not leaves scales by which the
    /// columns of Y come to norm 1, and the next pass applies them.
    fn keeps_unit_norm(&self) -> bool;

    /// Whether features are least squares for the coefficients before they are cut. Such features do not depend on those before
    /// but by relaxation, and are made of the cross product where it lies.
    fn solves_least_squares(&self) -> bool;
}
