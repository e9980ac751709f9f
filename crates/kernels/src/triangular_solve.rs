//! Forward and back substitution for all neurons: the second half of least squares.

use std::array;

use faer::MatMut;
use pulp::{Simd, WithSimd};

use crate::cholesky::{CholeskyFactor, attempts_of};
use crate::cpu::{
    BLOCK, PackedBlocks, Sums, add_product, arch, contiguous, for_each_share, subtract_products, vectors_at_once,
    with_scratch,
};
use crate::variant::ELIMINATION;
use crate::workgroups::units_of_a_dispatch;
use crate::{Access, Call, Cost, CpuTwin, ElementType, Kernel, Matrix, Memory, Moved, Recording, STATUS_WORDS};

/// Neurons that a workgroup handles.
const NEURONS: u32 = 64;

/// The kernel's metadata.
pub static TRIANGULAR_SOLVE: Kernel = Kernel {
    name: "triangular_solve",
    access: &[Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: ELIMINATION,
    twin: CpuTwin::Alone(twin),
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rank: u32,
    stride: u32,
    factors: u32,
    first_column: u32,
    end_column: u32,
    feature_stride: u32,
}

/// Records `solution` ← (UᵀU)⁻¹ `solution` for U = `factor` from [`cholesky`](crate::cholesky()). Before that,
/// `solution` [K, d] holds the right side.
pub fn triangular_solve(recording: &mut Recording, factor: CholeskyFactor, solution: Matrix) {
    let rank = u64::from(factor.rank());
    let flops = 2 * rank * rank;
    let range = units_of_a_dispatch(flops, NEURONS);
    let [factors, status] = factor.resources();
    for first in (0..solution.columns).step_by(range as usize) {
        let count = range.min(solution.columns - first);
        recording.dispatch(
            &TRIANGULAR_SOLVE,
            ElementType::F32,
            &Params {
                rank: factor.rank(),
                stride: factor.first().stride,
                factors: factor.count(),
                first_column: first,
                end_column: first + count,
                feature_stride: solution.stride,
            },
            &[factors, status, solution.resource],
            [count.div_ceil(NEURONS), 1, 1],
            Cost {
                moved: vec![
                    factor.first().read(),
                    Moved::read(u64::from(STATUS_WORDS) * 4),
                    if count == solution.columns {
                        solution.updated()
                    } else {
                        Moved::updated(rank * u64::from(count) * 4)
                    },
                ],
                flops: flops * u64::from(count),
            },
        );
    }
}

/// Vectors of neurons that a thread solves for at once.
const SHARE_VECTORS: usize = 4;

fn twin(call: &Call<'_>, bindings: &mut [Memory<'_>]) {
    let p: Params = call.params();
    let [factors, status, solution] = bindings else { unreachable!() };
    let (rank, stride) = (p.rank as usize, p.feature_stride as usize);
    let factor = attempts_of(status.read()).clamp(1, p.factors) as usize - 1;
    let size = rank * p.stride as usize;
    arch().dispatch(Twin {
        p: &p,
        upper: &factors.read::<f32>()[factor * size..][..size],
        solution: &mut solution.write::<f32>()[..rank * stride],
    });
}

struct Twin<'a> {
    p: &'a Params,
    upper: &'a [f32],
    solution: &'a mut [f32],
}

impl WithSimd for Twin<'_> {
    type Output = ();

    fn with_simd<S: Simd>(self, simd: S) {
        if vectors_at_once::<S>() == 2 { self.run::<S, 2>(simd) } else { self.run::<S, 1>(simd) }
    }
}

impl Twin<'_> {
    /// Handles `V` vectors of neurons at once.
    fn run<S: Simd, const V: usize>(self, simd: S) {
        let (rank, stride) = (self.p.rank as usize, self.p.feature_stride as usize);
        let factors = Factors::new(rank, |l, k| self.upper[l * self.p.stride as usize + k]);
        let width = SHARE_VECTORS * S::F32_LANES;
        let [first, end] = [self.p.first_column, self.p.end_column].map(|column| column as usize);
        let solution = MatMut::from_column_major_slice_mut(self.solution, stride, rank).subrows_mut(first, end - first);
        for_each_share(solution, width, width, &|_, mut share| {
            // If d is a power of two, rows are a multiple of a page apart. What is being solved is kept close together
            // instead.
            with_scratch(rank.next_multiple_of(BLOCK) * width, |scratch| {
                for (feature, part) in scratch[..rank * width].chunks_exact_mut(width).enumerate() {
                    let row = contiguous(share.as_mut().col_mut(feature));
                    part[..row.len()].copy_from_slice(row);
                    part[row.len()..].fill(0.0);
                }
                // The padding of the last block.
                scratch[rank * width..].fill(0.0);
                simd.vectorize(
                    #[inline(always)]
                    || factors.solve::<S, V>(simd, scratch),
                );
                for (feature, part) in scratch[..rank * width].chunks_exact(width).enumerate() {
                    let row = contiguous(share.as_mut().col_mut(feature));
                    row.copy_from_slice(&part[..row.len()]);
                }
            });
        });
    }
}

/// U and Uᵀ in the form that the substitutions read.
struct Factors {
    upper: PackedBlocks,
    transposed: PackedBlocks,
    /// 1/U_kk, and zeros up to the end of the last block.
    inverse: Vec<f32>,
}

impl Factors {
    fn new(rank: usize, entry: impl Fn(usize, usize) -> f32) -> Self {
        let mut inverse: Vec<f32> = (0..rank).map(|k| 1.0 / entry(k, k)).collect();
        inverse.resize(rank.next_multiple_of(BLOCK), 0.0);
        Factors {
            upper: PackedBlocks::new(rank, &entry),
            transposed: PackedBlocks::new(rank, |l, k| entry(k, l)),
            inverse,
        }
    }

    /// Forward substitution, then back substitution. `rows` holds [`SHARE_VECTORS`] vectors for each feature.
    #[inline(always)]
    fn solve<S: Simd, const V: usize>(&self, simd: S, rows: &mut [f32]) {
        let (rows, _) = S::as_mut_simd_f32s(rows);
        let (rows, _) = rows.as_chunks_mut::<V>();
        let groups = SHARE_VECTORS / V;
        let blocks = rows.len() / (BLOCK * groups);
        for index in 0..blocks {
            let (solved, rest) = rows.split_at_mut(index * BLOCK * groups);
            let block = self.upper.block(index);
            for group in 0..groups {
                let mut sums: Sums<S, V> = array::from_fn(|j| rest[j * groups + group]);
                subtract_products(simd, &mut sums, block, solved.chunks_exact(groups).map(|row| row[group]));
                for j in 0..BLOCK {
                    let own = self.divided(simd, index * BLOCK + j, sums[j]);
                    for i in j + 1..BLOCK {
                        add_product(simd, &mut sums[i], block[index * BLOCK + j][i], own);
                    }
                    rest[j * groups + group] = own;
                }
            }
        }
        for index in (0..blocks).rev() {
            let end = (index + 1) * BLOCK;
            let (before, solved) = rows.split_at_mut(end * groups);
            let rest = &mut before[index * BLOCK * groups..];
            let block = self.transposed.block(index);
            for group in 0..groups {
                let mut sums: Sums<S, V> = array::from_fn(|j| rest[j * groups + group]);
                let solved = solved.chunks_exact(groups).map(|row| row[group]);
                subtract_products(simd, &mut sums, &block[end..], solved);
                for j in (0..BLOCK).rev() {
                    let own = self.divided(simd, index * BLOCK + j, sums[j]);
                    for i in 0..j {
                        add_product(simd, &mut sums[i], block[index * BLOCK + j][i], own);
                    }
                    rest[j * groups + group] = own;
                }
            }
        }
    }

    /// Divides by a feature's diagonal entry.
    #[inline(always)]
    fn divided<S: Simd, const V: usize>(&self, simd: S, feature: usize, vectors: [S::f32s; V]) -> [S::f32s; V] {
        let inverse = simd.splat_f32s(self.inverse[feature]);
        vectors.map(|vector| simd.mul_f32s(vector, inverse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Vectors;

    #[test]
    fn every_kind_of_vectors_solves() {
        for (rank, stride) in [(1, 4), (13, 72), (37, 300)] {
            let number = |i: usize| ((i * 7919 + 13) % 101) as f32 / 101.0 - 0.5;
            let mut upper = vec![0f32; rank * rank];
            for k in 0..rank {
                (k..rank)
                    .for_each(|l| upper[k * rank + l] = if k == l { 2.0 + number(k) } else { number(k + l) / 9.0 });
            }
            let right: Vec<f32> = (0..rank * stride).map(number).collect();
            let p = Params {
                rank: rank as u32,
                stride: rank as u32,
                factors: 1,
                first_column: 0,
                end_column: stride as u32,
                feature_stride: stride as u32,
            };
            for vectors in Vectors::ALL {
                let mut solution = right.clone();
                vectors.arch().dispatch(Twin { p: &p, upper: &upper, solution: &mut solution });
                let at = |k: usize, j: usize| f64::from(solution[k * stride + j]);
                let entry = |k: usize, l: usize| f64::from(upper[k * rank + l]);
                for (k, j) in (0..rank).flat_map(|k| (0..stride).map(move |j| (k, j))) {
                    // (UᵀU x)ₖ = Σᵢ U_ik Σₗ U_il x_l
                    let row = |i: usize| (i..rank).map(|l| entry(i, l) * at(l, j)).sum::<f64>();
                    let product: f64 = (0..=k).map(|i| entry(i, k) * row(i)).sum();
                    let expected = f64::from(right[k * stride + j]);
                    assert!((product - expected).abs() < 1e-4, "{vectors:?}, rank {rank}: {product} for {expected}");
                }
            }
        }
    }
}
