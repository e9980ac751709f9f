//! The product YᵀX if nearly all coefficients are zero, as those of clusters are, of which a token has only one. Each
//! token is added to the rows of its features.

use faer::MatMut;
use rayon::prelude::*;

use super::operands::{AHEAD, Operands};
use super::shares::{contiguous, for_each_share};
use super::vectors::arch;
use super::{prefetch, with_scratch};

/// Coefficients are sparse if at most one of this many is not zero.
const SPARSE: usize = 16;
/// Tokens whose coefficients a thread looks through at once.
const TOKENS: usize = 256;
/// Most neurons that a thread adds at once. Their sums for a feature stay in the first-level cache.
const SHARE_NEURONS: usize = 2048;
/// Tokens whose sum is added to the result together. Longer chains of f32 sums would lose precision.
const LONGEST_SUM: usize = 256;
/// Shares of neurons are multiples of a cache line of f16.
const STRIP: usize = 32;

/// A coefficient that is not zero.
#[derive(Clone, Copy)]
struct Entry {
    token: usize,
    feature: usize,
    value: f32,
}

/// The coefficients that are not zero. Features are in order, and so are the tokens of each feature.
pub(crate) struct SparseCoefficients(Vec<Entry>);

impl SparseCoefficients {
    /// The coefficients of `operands`, or `None` if too many of them are not zero in some run of tokens.
    pub fn of(operands: &Operands<'_>) -> Option<Self> {
        let &Operands { coefficients, stride, rank, rows, .. } = operands;
        let entries_of = |(chunk, rows): (usize, &[f32])| {
            let most = rows.len().div_ceil(stride) * rank / SPARSE;
            let mut entries = Vec::new();
            for (row, values) in rows.chunks(stride).enumerate() {
                let token = chunk * TOKENS + row;
                let found = values[..rank].iter().enumerate().filter(|(_, value)| **value != 0.0);
                entries.extend(found.map(|(feature, &value)| Entry { token, feature, value }));
                if entries.len() > most {
                    return None;
                }
            }
            Some(entries)
        };
        let chunks = coefficients[..rows * stride].par_chunks(TOKENS * stride).enumerate().map(entries_of);
        let mut entries = chunks.collect::<Option<Vec<_>>>()?.concat();
        entries.sort_by_key(|entry| entry.feature);
        Some(SparseCoefficients(entries))
    }

    /// out (+)= scale · XᵀY, as [`super::dense_product`].
    pub fn product(&self, operands: &Operands<'_>, out: MatMut<'_, f32>, accumulate: bool) {
        let arch = arch();
        let Operands { activations, first_row, scale, .. } = *operands;
        for_each_share(out, SHARE_NEURONS, STRIP, &|neuron, mut out| {
            let width = out.nrows();
            if !accumulate {
                (0..out.ncols()).for_each(|feature| contiguous(out.as_mut().col_mut(feature)).fill(0.0));
            }
            with_scratch(2 * width, |scratch| {
                let (row, sums) = scratch.split_at_mut(width);
                let mut ahead = self.0.iter().skip(AHEAD);
                for of_feature in self.0.chunk_by(|entry, next| entry.feature == next.feature) {
                    let column = contiguous(out.as_mut().col_mut(of_feature[0].feature));
                    for entries in of_feature.chunks(LONGEST_SUM) {
                        sums.fill(0.0);
                        for entry in entries {
                            if let Some(next) = ahead.next() {
                                prefetch(activations.bytes(first_row + next.token, neuron, width));
                            }
                            activations.decode(first_row + entry.token, neuron, row);
                            let factor = scale * entry.value;
                            arch.dispatch(
                                #[inline(always)]
                                || sums.iter_mut().zip(&*row).for_each(|(sum, x)| *sum += factor * x),
                            );
                        }
                        column.iter_mut().zip(&*sums).for_each(|(out, sum)| *out += sum);
                    }
                }
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ElementType;
    use crate::cpu::Elements;
    use crate::cpu::dense_product::tests::{encoded, hold_against_f64, numbers, whole};

    fn check(case: &str, operands: &Operands<'_>, neurons: usize, bound: f64) {
        let sparse = SparseCoefficients::of(operands).expect("sparse coefficients");
        hold_against_f64(case, operands, neurons, bound, |out, accumulate| sparse.product(operands, out, accumulate));
    }

    #[test]
    fn sums_of_any_shape_are_as_precise_as_in_f32() {
        for (rows, neurons, rank) in [(1, 1, 16), (33, 17, 20), (300, 2100, 33), (700, 70, 100)] {
            for element in ElementType::ALL {
                let (first_row, stride, y_stride) = (3, neurons + 5, rank + 2);
                let bytes = encoded(element, &numbers((first_row + rows) * stride, 1).collect::<Vec<_>>());
                // One of 23 is not zero. The numbers beside the coefficients do not belong to them.
                let value =
                    |(index, y): (usize, f32)| if index % 23 == 3 || index % y_stride >= rank { y } else { 0.0 };
                let y: Vec<f32> = numbers(rows * y_stride, 2).enumerate().map(value).collect();
                let whole = whole(Elements::new(&bytes, element, stride as u32), &y, y_stride);
                let case = format!("{rows} × {neurons} {element}, {rank} features");
                check(&case, &Operands { first_row, rank, scale: 0.5, ..whole }, neurons, 5e-7);
            }
        }
    }

    #[test]
    fn long_sums_keep_their_digits() {
        let (rows, neurons, rank) = (100_000, 3, 16);
        let x: Vec<f32> = numbers(rows * neurons, 1).map(f32::abs).collect();
        let y: Vec<f32> = (0..rows * rank).map(|i| if i % rank == 5 { 0.7 } else { 0.0 }).collect();
        let activations = Elements::new(bytemuck::cast_slice(&x), ElementType::F32, neurons as u32);
        check("a long sum", &whole(activations, &y, rank), neurons, 2e-6);
    }

    #[test]
    fn one_cluster_a_token_is_sparse_from_16_clusters_on() {
        let is_sparse = |rank: usize, nonzeros: usize| {
            let y: Vec<f32> = (0..rank * 600).map(|i| if i % rank < nonzeros { 1.0 } else { 0.0 }).collect();
            SparseCoefficients::of(&whole(Elements::new(&[], ElementType::F32, 1), &y, rank)).is_some()
        };
        assert_eq!([(15, 1), (16, 1), (100, 6), (100, 7)].map(|(k, n)| is_sparse(k, n)), [false, true, true, false]);
    }
}
