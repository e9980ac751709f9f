//! The product YᵀX if many coefficients are zero, as those of a penalised fit are, or of clusters, of which a token has
//! only one. Tokens are taken in blocks, and X is decoded into strips of neurons as for the dense product. A feature's
//! sums over a block stay in registers while the tokens that use the feature pass by.
//!
//! Several products of the same activations, as those of fits that iterate in lockstep, decode each block once.

use std::ops::Range;
use std::sync::Arc;

use faer::MatMut;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::dense_product::{dense_product, product_instructions};
use super::nonzeros::{count_nonzeros, for_each_nonzero};
use super::operands::{AHEAD, Operands};
use super::product_instructions::ProductInstructions::{Amx, Avx512Bf16, Avx512Fp16};
use super::shares::{add, contiguous, for_each_share};
use super::vectors::arch;
use super::{prefetch, with_scratch};
use crate::Precision;

/// Neurons below which a dense product is always faster than finding the coefficients that are not zero.
const FEWEST_NEURONS: usize = 32;
/// Most neurons of a share.
const SHARE_NEURONS: usize = 128;
/// Shares of neurons are multiples of a cache line of f16.
const SHARE_STRIP: usize = 32;
/// Most vectors of neurons in a strip. There is a register for the sums of each.
const MOST_VECTORS: usize = 8;
/// Fewest and most tokens of a block. A strip of fewer tokens stays in the first-level cache. A longer chain of f32 sums
/// would lose precision.
const BLOCK_TOKENS: [usize; 2] = [128, 512];
/// Tokens that use a feature in a block, on average, if the block may be so long. The sums of a feature are then loaded
/// and stored seldom enough.
const TOKENS_OF_FEATURE: usize = 8;
/// Most sums that a thread holds at once for several products. They take half of a second-level cache of 512 KiB.
const MOST_SUMS: usize = 64 << 10;

/// A coefficient that is not zero.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// Its token in the block.
    token: u32,
    value: f32,
}

/// The coefficients of a block of tokens that are not zero.
struct Block {
    /// The features with such coefficients, sorted by how many they have, and the entries of each. Loops of the same length follow one another, so
    /// that the processor predicts them.
    features: Vec<(u32, Range<u32>)>,
    /// Feature after feature. The tokens of each are in order.
    entries: Vec<Entry>,
}

/// The coefficients that are not zero, in blocks of tokens.
struct SparseCoefficients {
    blocks: Vec<Block>,
    /// Tokens of each block but the last.
    tokens: usize,
}

/// out (+)= scale · XᵀY, as [`super::dense_product`].
pub(crate) struct Product<'a> {
    pub operands: Operands<'a>,
    pub out: MatMut<'a, f32>,
    pub accumulate: bool,
}

/// Computes products, each by the sparse product or by the dense one, whichever is faster. Those of the same coefficients look for the nonzeros once,
/// and those of the same activations decode them once. The bits of each product are those that it has alone.
pub(crate) fn products(products: Vec<Product<'_>>) {
    let (mut counted, mut dense) = (Vec::new(), Vec::new());
    let mut groups: Vec<Vec<SparseProduct<'_>>> = Vec::new();
    for product in products {
        match nonzeros(&mut counted, &product.operands, product.out.nrows()) {
            None => dense.push(product),
            Some(coefficients) => {
                let product = SparseProduct { coefficients, product };
                let may_join = |group: &&mut Vec<SparseProduct<'_>>| product.may_join(group);
                match groups.iter_mut().find(may_join) {
                    Some(group) => group.push(product),
                    None => groups.push(vec![product]),
                }
            }
        }
    }
    rayon::join(
        || groups.into_par_iter().for_each(compute_together),
        || {
            dense.into_par_iter().for_each(|Product { operands, out, accumulate }| {
                dense_product(&operands, out, accumulate);
            });
        },
    );
}

/// Coefficients that have been counted.
struct Counted<'a> {
    operands: Operands<'a>,
    nonzeros: usize,
    /// Once somebody needs them.
    sparse: Option<Arc<SparseCoefficients>>,
}

/// The coefficients of `operands` that are not zero, or `None` if so many of them are not that the dense product with `neurons` neurons is
/// faster. The choice depends on the data and the processor, but not on the number of threads.
fn nonzeros<'a>(
    counted: &mut Vec<Counted<'a>>,
    operands: &Operands<'a>,
    neurons: usize,
) -> Option<Arc<SparseCoefficients>> {
    if neurons < FEWEST_NEURONS {
        return None;
    }
    let Operands { coefficients, stride, rank, rows, .. } = *operands;
    let known = counted.iter().position(|known| known.operands.have_coefficients_of(operands));
    let place = known.unwrap_or_else(|| {
        let nonzeros = count_nonzeros(&coefficients[..rows * stride], stride, rank);
        counted.push(Counted { operands: *operands, nonzeros, sparse: None });
        counted.len() - 1
    });
    let Counted { nonzeros, sparse, .. } = &mut counted[place];
    let is_sparse = *nonzeros * worth(operands) <= rows * rank;
    let tokens = (TOKENS_OF_FEATURE * rows * rank / (*nonzeros).max(1)).next_power_of_two();
    is_sparse.then(|| {
        let in_blocks =
            || Arc::new(SparseCoefficients::in_blocks(operands, tokens.clamp(BLOCK_TOKENS[0], BLOCK_TOKENS[1])));
        Arc::clone(sparse.get_or_insert_with(in_blocks))
    })
}

impl SparseCoefficients {
    /// The coefficients of `operands` in blocks of so many tokens.
    fn in_blocks(operands: &Operands<'_>, tokens: usize) -> Self {
        let &Operands { coefficients, stride, rank, rows, .. } = operands;
        let blocks =
            coefficients[..rows * stride].par_chunks(tokens * stride).map(|rows| Block::of(rows, stride, rank));
        SparseCoefficients { blocks: blocks.collect(), tokens }
    }
}

/// A product with sparse coefficients.
struct SparseProduct<'a> {
    coefficients: Arc<SparseCoefficients>,
    product: Product<'a>,
}

impl SparseProduct<'_> {
    /// Whether this product decodes what the others do, and the sums of all stay in a second-level cache.
    fn may_join(&self, others: &[SparseProduct<'_>]) -> bool {
        let (own, first) = (&self.product, &others[0].product);
        let rank: usize = others.iter().chain([self]).map(|other| other.product.operands.rank).sum();
        // Products that are computed apart are needed where there are more threads than shares of neurons.
        let shares = own.out.nrows().div_ceil(SHARE_STRIP) / rayon::current_num_threads().max(1);
        others.len() < shares
            && rank * SHARE_NEURONS <= MOST_SUMS
            && own.operands.have_activations_of(&first.operands)
            && own.out.nrows() == first.out.nrows()
            && self.coefficients.tokens == others[0].coefficients.tokens
    }
}

/// Computes products that decode the same activations.
fn compute_together(products: Vec<SparseProduct<'_>>) {
    let arch = arch();
    let (factors, outs): (Vec<_>, Vec<_>) = products
        .into_iter()
        .map(|SparseProduct { coefficients, product: Product { operands, out, accumulate } }| {
            ((coefficients, operands, accumulate), out)
        })
        .unzip();
    let tokens = factors[0].0.tokens;
    let rank: usize = factors.iter().map(|(_, operands, _)| operands.rank).sum();
    for_each_share(outs, SHARE_NEURONS, SHARE_STRIP, &|neuron, mut outs: Vec<MatMut<'_, f32>>| {
        let width = outs[0].nrows();
        with_scratch((tokens + rank) * SHARE_NEURONS, |scratch| {
            let (packed, sums) = scratch.split_at_mut(tokens * SHARE_NEURONS);
            sums.fill(0.0);
            let mut rest = &mut *sums;
            let terms = factors.iter().map(|(coefficients, operands, _)| Term {
                blocks: &coefficients.blocks,
                operands,
                sums: rest.split_off_mut(..operands.rank * SHARE_NEURONS).expect("sums for every feature"),
            });
            let strip = arch.dispatch(Share { terms: terms.collect(), tokens, neuron, width, packed });
            let mut sums = &*sums;
            for ((_, operands, accumulate), out) in factors.iter().zip(&mut outs) {
                let own = sums.split_off(..operands.rank * SHARE_NEURONS).expect("sums for every feature");
                for feature in 0..operands.rank {
                    let column = contiguous(out.as_mut().col_mut(feature));
                    for (strips, out) in column.chunks_mut(strip).enumerate() {
                        let sums = &own[(strips * operands.rank + feature) * strip..];
                        add(out, sums, [1.0, operands.scale], *accumulate);
                    }
                }
            }
        });
    });
}

/// The sparse product is faster if at most one of this many coefficients is not zero. A multiply-add of it costs about
/// as much as one of the dense product on vectors, and as several on pairs of rounded numbers or AMX's tiles.
fn worth(operands: &Operands<'_>) -> usize {
    match (operands.precision, product_instructions()) {
        (Precision::Bf16, Some(Amx)) => 16,
        (Precision::Bf16, Some(Avx512Bf16)) => 6,
        (Precision::Bf16, Some(Avx512Fp16)) => 5,
        (Precision::F32 | Precision::F16, Some(Amx)) if !operands.symmetric => 6,
        _ => 3,
    }
}

impl Block {
    fn of(rows: &[f32], stride: usize, rank: usize) -> Self {
        let mut ends = vec![0; rank];
        let mut entries = Vec::new();
        arch().dispatch(
            #[inline(always)]
            || {
                for row in rows.chunks(stride) {
                    ends.iter_mut().zip(row).for_each(|(count, &value)| *count += u32::from(value != 0.0));
                }
                let mut total = 0;
                for end in &mut ends {
                    let start = total;
                    total += *end;
                    *end = start;
                }
                entries.resize(total as usize, Entry::default());
                for (token, row) in (0..).zip(rows.chunks(stride)) {
                    for_each_nonzero(&row[..rank], |feature, value| {
                        entries[ends[feature] as usize] = Entry { token, value };
                        ends[feature] += 1;
                    });
                }
            },
        );
        let mut start = 0;
        let of_feature = |(feature, end): (u32, u32)| (feature, std::mem::replace(&mut start, end)..end);
        let mut features: Vec<(u32, Range<u32>)> = (0..).zip(ends).map(of_feature).collect();
        features.retain(|(_, entries)| !entries.is_empty());
        features.sort_unstable_by_key(|(feature, entries)| (entries.len(), *feature));
        Block { features, entries }
    }
}

/// One thread's neurons.
struct Share<'a> {
    /// What is multiplied with them. All have the same activations.
    terms: Vec<Term<'a>>,
    /// Tokens of a block.
    tokens: usize,
    neuron: usize,
    width: usize,
    packed: &'a mut [f32],
}

/// The coefficients of a product, and its sums.
struct Term<'a> {
    blocks: &'a [Block],
    operands: &'a Operands<'a>,
    sums: &'a mut [f32],
}

impl WithSimd for Share<'_> {
    /// Neurons of a strip. The sums are one strip after the other, and within a strip one feature after the other.
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        match self.width.div_ceil(S::F32_LANES) {
            1 => self.run::<S, 1>(simd),
            2 => self.run::<S, 2>(simd),
            3 | 4 => self.run::<S, 4>(simd),
            _ => self.run::<S, MOST_VECTORS>(simd),
        }
    }
}

impl Share<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, simd: S) -> usize {
        let Share { mut terms, tokens: most, neuron, width, packed } = self;
        let strip = V * S::F32_LANES;
        let padded = width.next_multiple_of(strip);
        let Operands { activations, first_row, rows, .. } = *terms[0].operands;
        for (index, first) in (0..rows).step_by(most).enumerate() {
            let tokens = most.min(rows - first);
            for token in first..first + tokens {
                if token + AHEAD < rows {
                    prefetch(activations.bytes(first_row + token + AHEAD, neuron, width));
                }
                for start in (0..width).step_by(strip) {
                    let packed = &mut packed[start * tokens + (token - first) * strip..][..strip];
                    let (values, padding) = packed.split_at_mut(strip.min(width - start));
                    activations.decode(first_row + token, neuron + start, values);
                    padding.fill(0.0);
                }
            }
            for Term { blocks, operands, sums } in &mut terms {
                let strips = packed.chunks_exact(tokens * strip).zip(sums.chunks_exact_mut(operands.rank * strip));
                for (strips, (packed, sums)) in strips.take(padded / strip).enumerate() {
                    // Of a symmetric product, features before the neurons are left out.
                    let least = if operands.symmetric { neuron + strips * strip } else { 0 };
                    blocks[index].add::<S, V>(simd, packed, sums, least);
                }
            }
        }
        strip
    }
}

impl Block {
    /// Adds the products of a strip of the block's tokens for all features from `least` on.
    #[inline(always)]
    fn add<S: Simd, const V: usize>(&self, simd: S, packed: &[f32], sums: &mut [f32], least: usize) {
        let (packed, _) = S::as_simd_f32s(packed);
        let (packed, _) = packed.as_chunks::<V>();
        let (sums, _) = S::as_mut_simd_f32s(sums);
        let (sums, _) = sums.as_chunks_mut::<V>();
        for &(feature, Range { start, end }) in &self.features {
            let entries = &self.entries[start as usize..end as usize];
            if (feature as usize) < least {
                continue;
            }
            let mut own = [simd.splat_f32s(0.0); V];
            for &Entry { token, value } in entries {
                let value = simd.splat_f32s(value);
                for (sum, &x) in own.iter_mut().zip(&packed[token as usize]) {
                    *sum = simd.mul_add_e_f32s(value, x, *sum);
                }
            }
            for (sum, own) in sums[feature as usize].iter_mut().zip(own) {
                *sum = simd.add_f32s(*sum, own);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ElementType;
    use crate::cpu::Elements;
    use crate::cpu::dense_product::tests::{encoded, hold_against_f64, numbers, whole};

    fn sparse_product(operands: &Operands<'_>, tokens: usize, out: MatMut<'_, f32>, accumulate: bool) {
        let coefficients = Arc::new(SparseCoefficients::in_blocks(operands, tokens));
        compute_together(vec![SparseProduct {
            coefficients,
            product: Product { operands: *operands, out, accumulate },
        }]);
    }

    fn check(case: &str, operands: &Operands<'_>, neurons: usize, bound: f64) {
        for tokens in [BLOCK_TOKENS[0], 200] {
            hold_against_f64(case, operands, neurons, bound, |out, accumulate| {
                sparse_product(operands, tokens, out, accumulate);
            });
        }
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
    fn half_of_a_symmetric_product_is_that_of_the_whole() {
        let (rows, rank) = (300, 283);
        let y: Vec<f32> = numbers(rows * rank, 7).enumerate().map(|(i, y)| if i % 5 == 0 { y } else { 0.0 }).collect();
        let activations = Elements::new(bytemuck::cast_slice(&y), ElementType::F32, rank as u32);
        let product = |symmetric| {
            let operands = Operands { symmetric, ..whole(activations, &y, rank) };
            let mut out = vec![f32::NAN; rank * rank];
            sparse_product(&operands, 128, MatMut::from_column_major_slice_mut(&mut out, rank, rank), false);
            out
        };
        let (half, whole) = (product(true), product(false));
        for (feature, neuron) in (0..rank).flat_map(|feature| (0..=feature).map(move |neuron| (feature, neuron))) {
            let index = feature * rank + neuron;
            assert_eq!(half[index], whole[index], "{feature}, {neuron}");
        }
    }

    #[test]
    fn products_that_are_computed_together_have_the_bits_that_they_have_alone() {
        let (rows, neurons, rank) = (300, 700, 40);
        let bytes = encoded(ElementType::F16, &numbers(rows * neurons, 1).collect::<Vec<_>>());
        let x = Elements::new(&bytes, ElementType::F16, neurons as u32);
        // The third has too many coefficients that are not zero for the sparse product, and the fourth so few that its blocks are longer.
        let coefficients = [7, 9, 2, 300].map(|step| {
            let value = |(i, y)| if i % step == 0 { y } else { 0.0 };
            numbers(rows * rank, step as u32).enumerate().map(value).collect::<Vec<f32>>()
        });
        let [first, ..] = &coefficients;
        let gram = Elements::new(bytemuck::cast_slice(first), ElementType::F32, rank as u32);
        let of_x = coefficients.iter().map(|y| (whole(x, y, rank), neurons));
        let of_itself = (Operands { symmetric: true, ..whole(gram, first, rank) }, rank);
        let asked: Vec<(Operands<'_>, usize)> = of_x.chain([of_itself]).collect();
        let compute = |asked: &[(Operands<'_>, usize)]| -> Vec<Vec<f32>> {
            let mut outs: Vec<Vec<f32>> = asked.iter().map(|(_, columns)| vec![0.5; rank * columns]).collect();
            let mut together = Vec::new();
            for (&(operands, columns), out) in asked.iter().zip(&mut outs) {
                let out = MatMut::from_column_major_slice_mut(out, columns, rank);
                together.push(Product { operands, out, accumulate: true });
            }
            products(together);
            outs
        };
        let alone: Vec<Vec<f32>> = asked.iter().flat_map(|one| compute(std::slice::from_ref(one))).collect();
        assert!(compute(&asked) == alone);
    }

    #[test]
    fn coefficients_are_sparse_if_few_are_not_zero_and_there_are_many_neurons() {
        let is_sparse = |count: usize, neurons| {
            let y: Vec<f32> = (0..60 * 600).map(|i| if i % 60 < count { 1.0 } else { 0.0 }).collect();
            let operands = whole(Elements::new(&[], ElementType::F32, 1), &y, 60);
            nonzeros(&mut Vec::new(), &operands, neurons).is_some()
        };
        assert!(is_sparse(1, 1000) && is_sparse(10, 1000) && !is_sparse(21, 1000) && !is_sparse(1, 1));
    }
}
