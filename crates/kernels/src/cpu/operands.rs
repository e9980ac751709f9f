//! What the ways to compute a dense product are given.

use super::Elements;
use crate::Precision;

/// Tokens that are fetched ahead. A share of a row is too short for the processor to do this by itself.
pub(super) const AHEAD: usize = 16;

/// X and Y of a product.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    /// X, from its row `first_row` on.
    pub activations: Elements<'a>,
    pub first_row: usize,
    /// Y, `rows` rows `stride` apart.
    pub coefficients: &'a [f32],
    pub stride: usize,
    pub rank: usize,
    pub rows: usize,
    /// Factor of the product.
    pub scale: f32,
    /// Whether X is Y, so that half of the product is enough. Of two entries that mirror one another, at least the one
    /// below the diagonal is computed, whose feature comes after its neuron.
    pub symmetric: bool,
    /// Whether operands may be rounded.
    pub precision: Precision,
}

impl Operands<'_> {
    /// Whether these have the coefficients that `other` has, at the same place in memory.
    pub fn have_coefficients_of(&self, other: &Operands<'_>) -> bool {
        std::ptr::eq(self.coefficients, other.coefficients)
            && (self.stride, self.rank, self.rows) == (other.stride, other.rank, other.rows)
    }

    /// Whether these have the activations that `other` has, at the same place in memory.
    pub fn have_activations_of(&self, other: &Operands<'_>) -> bool {
        self.activations.are(&other.activations) && (self.first_row, self.rows) == (other.first_row, other.rows)
    }
}
