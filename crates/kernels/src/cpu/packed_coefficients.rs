//! Y packed for a dense product on vectors.

use std::ops::Range;

use pulp::Simd;
use rayon::prelude::*;

use super::feature_tiles::feature_tiles;
use super::operands::Operands;
use super::scaling::{Scaling, for_coefficients, raise_magnitudes};
use super::words::{Arithmetic, Processor, Task};
use crate::ElementType;

/// Y packed for the micro-kernel, which all threads share. It is one block of tokens after the other, within a block
/// one tile of features after the other, and within a tile one word of each feature after the other.
pub(super) struct PackedCoefficients<'a> {
    pub words: &'a [f32],
    pub tokens: usize,
    pub rank: usize,
    /// The features of each tile.
    pub tiles: Vec<Range<usize>>,
    /// For each feature, if words do not have the range of f32.
    pub scalings: Option<Vec<Scaling>>,
}

impl<'a> PackedCoefficients<'a> {
    /// Packs the first `tokens` of the rows into `words`, in tiles that are at most `widest`.
    pub fn new(
        processor: Processor,
        rows: &[f32],
        operands: &Operands<'_>,
        tokens: usize,
        widest: usize,
        words: &'a mut [f32],
    ) -> Self {
        let (rank, stride, shape) = (operands.rank, operands.stride, processor.shape());
        let tiles = feature_tiles(rank, widest);
        let block = shape.block * shape.tokens;
        // The last row may end before the next one would begin, and rows behind the last token are not packed.
        let rows = &rows[..rows.len().min(tokens * stride)];
        let scalings = shape.top.map(|top| {
            let blocks = rows.par_chunks(block * stride);
            let largest = blocks
                .map(|rows| processor.run(Largest { rows, stride, rank }))
                .reduce(|| vec![0; rank], |a, b| a.into_iter().zip(b).map(|(a, b)| a.max(b)).collect());
            largest.into_iter().map(|largest| for_coefficients(f32::from_bits(largest), top)).collect::<Vec<_>>()
        });
        let factors = &scalings.iter().flatten().map(|scaling| scaling.factor).collect::<Vec<_>>();
        words.par_chunks_mut(shape.block * rank).zip(rows.par_chunks(block * stride)).for_each(|(packed, rows)| {
            processor.run(PackTiles { tiles: &tiles, rank, rows, stride, factors, packed });
        });
        PackedCoefficients { words, tokens, rank, tiles, scalings }
    }
}

/// Finds the largest magnitude of each feature.
struct Largest<'a> {
    rows: &'a [f32],
    stride: usize,
    rank: usize,
}

impl Task for Largest<'_> {
    type Output = Vec<u32>;

    #[inline(always)]
    fn run<S: Simd, A: Arithmetic<S>>(self, _: S, _: A) -> Vec<u32> {
        let mut largest = vec![0; self.rank];
        for row in self.rows.chunks(self.stride) {
            raise_magnitudes(ElementType::F32, bytemuck::cast_slice(&row[..self.rank]), &mut largest);
        }
        largest
    }
}

/// Packs a block of Y.
struct PackTiles<'a> {
    tiles: &'a [Range<usize>],
    rank: usize,
    rows: &'a [f32],
    stride: usize,
    /// Factors of the features, if words do not have the range of f32.
    factors: &'a [f32],
    packed: &'a mut [f32],
}

impl Task for PackTiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, A: Arithmetic<S>>(self, _: S, arithmetic: A) {
        let words = self.packed.len() / self.rank;
        for tile in self.tiles {
            let packed = &mut self.packed[tile.start * words..tile.end * words];
            let factors = self.factors.get(tile.clone()).unwrap_or_default();
            for (packed, rows) in packed.chunks_exact_mut(tile.len()).zip(self.rows.chunks(A::TOKENS * self.stride)) {
                let second = rows.get(self.stride + tile.start..self.stride + tile.end).unwrap_or_default();
                arithmetic.coefficients([&rows[tile.clone()], second], factors, packed);
            }
        }
    }
}
