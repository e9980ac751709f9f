//! Forward and back substitution for all neurons: the second half of least squares.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::cpu::{PackedBlocks, block_features, params, subtract_products, with_scratch};
use crate::{Access, Cost, ElementType, Kernel, Matrix, Memory, PORTABLE, Recording};

/// Neurons that a workgroup handles.
pub const NEURONS: u32 = 64;

/// The kernel's metadata.
pub static TRIANGULAR_SOLVE: Kernel = Kernel {
    name: "triangular_solve",
    access: &[Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
    variants: PORTABLE,
    twin,
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rank: u32,
    stride: u32,
    columns: u32,
    feature_stride: u32,
}

/// Records `solution` ← (UᵀU)⁻¹ `solution` for U = `factor` from [`cholesky`](crate::cholesky()); `solution` [K, d] is the right
/// side before.
pub fn triangular_solve(recording: &mut Recording, factor: Matrix, solution: Matrix) {
    let (rank, columns) = (u64::from(factor.rows), u64::from(solution.columns));
    recording.dispatch(
        &TRIANGULAR_SOLVE,
        ElementType::F32,
        &Params {
            rank: factor.rows,
            stride: factor.stride,
            columns: solution.columns,
            feature_stride: solution.stride,
        },
        &[factor.resource, solution.resource],
        [solution.columns.div_ceil(NEURONS), 1, 1],
        Cost { moved: vec![factor.read(), solution.updated()], flops: 2 * rank * rank * columns },
    );
}

/// Vectors of neurons that a thread solves for at once.
const SHARE_VECTORS: usize = 4;

fn twin(bytes: &[u8], _: ElementType, bindings: &mut [Memory<'_>]) {
    let p: Params = params(bytes);
    let [factor, solution] = bindings else { unreachable!() };
    let (rank, stride) = (p.rank as usize, p.feature_stride as usize);
    pulp::Arch::new().dispatch(Twin {
        p: &p,
        upper: &factor.read::<f32>()[..rank * p.stride as usize],
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
        if block_features::<S>() == 16 { self.run::<S, 16>(simd) } else { self.run::<S, 8>(simd) }
    }
}

impl Twin<'_> {
    fn run<S: Simd, const B: usize>(self, simd: S) {
        let (rank, stride) = (self.p.rank as usize, self.p.feature_stride as usize);
        let entry = |l: usize, k: usize| self.upper[l * self.p.stride as usize + k];
        let factors = Factors::<B> {
            upper: PackedBlocks::new(rank, entry),
            transposed: PackedBlocks::new(rank, |l, k| entry(k, l)),
            inverse: (0..rank).map(|k| 1.0 / entry(k, k)).collect(),
        };
        let width = SHARE_VECTORS * S::F32_LANES;
        // Every feature's part of a share, so that threads get disjoint pieces of the rows.
        let mut shares: Vec<Vec<&mut [f32]>> = (0..stride.div_ceil(width)).map(|_| Vec::with_capacity(rank)).collect();
        for row in self.solution.chunks_exact_mut(stride) {
            for (share, part) in shares.iter_mut().zip(row.chunks_mut(width)) {
                share.push(part);
            }
        }
        shares.into_par_iter().for_each(|mut share| {
            // Rows are a multiple of a page apart where d is a power of two: what is solved lies close together.
            with_scratch(rank * width, |scratch| {
                for (part, row) in scratch.chunks_exact_mut(width).zip(&share) {
                    part[..row.len()].copy_from_slice(row);
                    part[row.len()..].fill(0.0);
                }
                simd.vectorize(
                    #[inline(always)]
                    || factors.solve(simd, scratch),
                );
                for (part, out) in scratch.chunks_exact(width).zip(&mut share) {
                    out.copy_from_slice(&part[..out.len()]);
                }
            });
        });
    }
}

/// U and Uᵀ as the substitutions read them.
struct Factors<const B: usize> {
    upper: PackedBlocks<B>,
    transposed: PackedBlocks<B>,
    /// 1/U_kk.
    inverse: Vec<f32>,
}

impl<const B: usize> Factors<B> {
    /// Forward, then back substitution; `rows` holds [`SHARE_VECTORS`] vectors for each feature.
    #[inline(always)]
    fn solve<S: Simd>(&self, simd: S, rows: &mut [f32]) {
        let (rows, _) = S::as_mut_simd_f32s(rows);
        let (rows, _) = rows.as_chunks_mut::<SHARE_VECTORS>();
        let rank = rows.len();
        for first in (0..rank).step_by(B) {
            let count = B.min(rank - first);
            let (solved, rest) = rows.split_at_mut(first);
            let block = self.upper.block(first / B);
            for v in 0..SHARE_VECTORS {
                let mut sums = [simd.splat_f32s(0.0); B];
                (0..count).for_each(|j| sums[j] = rest[j][v]);
                subtract_products(simd, &mut sums, block, solved.iter().map(|row| row[v]));
                for j in 0..count {
                    sums[j] = simd.mul_f32s(sums[j], simd.splat_f32s(self.inverse[first + j]));
                    let factors = &block[first + j];
                    for i in j + 1..B {
                        sums[i] = simd.mul_add_e_f32s(simd.splat_f32s(factors[i]), sums[j], sums[i]);
                    }
                    rest[j][v] = sums[j];
                }
            }
        }
        for first in (0..rank).step_by(B).rev() {
            let count = B.min(rank - first);
            let (before, solved) = rows.split_at_mut(first + count);
            let rest = &mut before[first..];
            let block = self.transposed.block(first / B);
            for v in 0..SHARE_VECTORS {
                let mut sums = [simd.splat_f32s(0.0); B];
                (0..count).for_each(|j| sums[j] = rest[j][v]);
                subtract_products(simd, &mut sums, &block[first + count..], solved.iter().map(|row| row[v]));
                for j in (0..count).rev() {
                    sums[j] = simd.mul_f32s(sums[j], simd.splat_f32s(self.inverse[first + j]));
                    let factors = &block[first + j];
                    for i in 0..j {
                        sums[i] = simd.mul_add_e_f32s(simd.splat_f32s(factors[i]), sums[j], sums[i]);
                    }
                    rest[j][v] = sums[j];
                }
            }
        }
    }
}
