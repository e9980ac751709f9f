//! Elimination in blocks of features, for twins whose features depend on one another. The sums of a block are kept in
//! registers while the vectors of the other features pass by. Only within the block do the features follow one another.

use pulp::Simd;

use super::{LANES, splat};

/// Features of a block. Room for whole squares of [`LANES`] features is also room for whole blocks.
pub(crate) const BLOCK: usize = 8;
const _: () = assert!(LANES.is_multiple_of(BLOCK));

/// Vectors for which the sums of a block are taken at once. Each sum has a register, and some registers are left for
/// factors and vectors. Each factor is then loaded for more than one product.
pub(crate) const fn vectors_at_once<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 2 } else { 1 }
}

/// A [K, K] matrix packed for [`subtract_products`]: negated, in blocks of [`BLOCK`] columns. Rows and columns beyond K
/// are zero, up to the next multiple of [`BLOCK`].
pub(crate) struct PackedBlocks {
    values: Vec<[f32; BLOCK]>,
    rows: usize,
}

impl PackedBlocks {
    /// Packs the matrix with entries `value(row, column)`.
    pub fn new(rank: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        let rows = rank.next_multiple_of(BLOCK);
        let mut values = vec![[0.0; BLOCK]; rows / BLOCK * rows];
        for (index, block) in values.chunks_exact_mut(rows).enumerate() {
            let first = index * BLOCK;
            for (row, values) in block[..rank].iter_mut().enumerate() {
                for (column, out) in values[..BLOCK.min(rank - first)].iter_mut().enumerate() {
                    *out = -value(row, first + column);
                }
            }
        }
        PackedBlocks { values, rows }
    }

    /// The rows of block `index`, which has [`BLOCK`] columns from `index` · [`BLOCK`] on.
    pub fn block(&self, index: usize) -> &[[f32; BLOCK]] {
        &self.values[index * self.rows..][..self.rows]
    }
}

/// Sums of the features of a block, for `V` vectors.
pub(crate) type Sums<S, const V: usize> = [[<S as Simd>::f32s; V]; BLOCK];

/// sums\[j\] −= Σₗ matrix\[l, j\] · vectorsₗ for the columns j of a block. `block` holds the negated matrix.
#[inline(always)]
pub(crate) fn subtract_products<S: Simd, const V: usize>(
    simd: S,
    sums: &mut Sums<S, V>,
    block: &[[f32; BLOCK]],
    vectors: impl Iterator<Item = [S::f32s; V]>,
) {
    for (factors, vectors) in block.iter().zip(vectors) {
        for (feature, sums) in sums.iter_mut().enumerate() {
            add_vectors(simd, sums, splat(simd, factors, feature), vectors);
        }
    }
}

/// sums += factor · vectors.
#[inline(always)]
pub(crate) fn add_product<S: Simd, const V: usize>(
    simd: S,
    sums: &mut [S::f32s; V],
    factor: f32,
    vectors: [S::f32s; V],
) {
    add_vectors(simd, sums, simd.splat_f32s(factor), vectors);
}

/// sums += factor · vectors, with the factor in all lanes.
#[inline(always)]
fn add_vectors<S: Simd, const V: usize>(simd: S, sums: &mut [S::f32s; V], factor: S::f32s, vectors: [S::f32s; V]) {
    for (sum, vector) in sums.iter_mut().zip(vectors) {
        *sum = simd.mul_add_e_f32s(factor, vector, *sum);
    }
}
