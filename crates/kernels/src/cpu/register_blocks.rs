//! Elimination in blocks of features, for twins whose features depend on one another: each block's sums are kept in registers
//! while the other features' vectors pass by, and only within the block is it one feature after the other.

use pulp::Simd;

/// Features of a block: one register for each sum, some left for a factor and a vector.
pub(crate) const fn block_features<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 16 } else { 8 }
}

/// A [K, K] matrix packed for [`subtract_products`]: negated, in blocks of `B` columns, zero beyond K.
pub(crate) struct PackedBlocks<const B: usize> {
    values: Vec<[f32; B]>,
    rank: usize,
}

impl<const B: usize> PackedBlocks<B> {
    /// Packs the matrix with entries `value(row, column)`.
    pub fn new(rank: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        let mut values = Vec::with_capacity(rank.div_ceil(B) * rank);
        for first in (0..rank).step_by(B) {
            let row = |l| std::array::from_fn(|j| if first + j < rank { -value(l, first + j) } else { 0.0 });
            values.extend((0..rank).map(row));
        }
        PackedBlocks { values, rank }
    }

    /// The rows of block `index`: columns `index` · B and following.
    pub fn block(&self, index: usize) -> &[[f32; B]] {
        &self.values[index * self.rank..][..self.rank]
    }
}

/// sums\[j\] −= Σₗ matrix\[l, j\] · vectorₗ for a block's columns j, where `block` holds the negated matrix.
#[inline(always)]
pub(crate) fn subtract_products<S: Simd, const B: usize>(
    simd: S,
    sums: &mut [S::f32s; B],
    block: &[[f32; B]],
    vectors: impl Iterator<Item = S::f32s>,
) {
    for (factors, vector) in block.iter().zip(vectors) {
        for (sum, &factor) in sums.iter_mut().zip(factors) {
            *sum = simd.mul_add_e_f32s(simd.splat_f32s(factor), vector, *sum);
        }
    }
}
