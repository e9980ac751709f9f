//! The operands of a projection, for all ways to compute it.

use super::Elements;

/// X and Z of a projection.
#[derive(Clone, Copy)]
pub(crate) struct Projected<'a> {
    /// X.
    pub activations: Elements<'a>,
    pub neurons: usize,
    /// Z, `rank` rows `stride` apart.
    pub features: &'a [f32],
    pub stride: usize,
    pub rank: usize,
    /// Factor of the product.
    pub scale: f32,
}
