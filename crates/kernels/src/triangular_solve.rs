//! Forward and back substitution for all neurons: the second half of least squares.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use crate::cpu::params;
use crate::{Access, Cost, ElementType, Kernel, Matrix, Memory, Recording};

/// Neurons that a workgroup handles.
pub const NEURONS: u32 = 64;

/// The kernel's metadata.
pub static TRIANGULAR_SOLVE: Kernel = Kernel {
    name: "triangular_solve",
    access: &[Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: false,
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

/// Records `solution` = (UᵀU)⁻¹ `right_side` for U = `factor` from [`cholesky`](crate::cholesky()); both are [K, d].
pub fn triangular_solve(recording: &mut Recording, factor: Matrix, right_side: Matrix, solution: Matrix) {
    assert_eq!(right_side.stride, solution.stride, "triangular solve: strides");
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
        &[factor.resource, right_side.resource, solution.resource],
        [solution.columns.div_ceil(NEURONS), 1, 1],
        Cost {
            bytes_read: factor.bytes() + right_side.bytes(),
            bytes_written: solution.bytes(),
            flops: 2 * rank * rank * columns,
        },
    );
}

/// Neurons that a thread solves for at once: 64 KiB a hundred features, so that they stay in L2.
const BLOCK_NEURONS: usize = 256;
/// Features solved one by one before a product brings the others up to date.
const BLOCK_FEATURES: usize = 32;

fn twin(bytes: &[u8], _: ElementType, bindings: &mut [Memory<'_>]) {
    let p: Params = params(bytes);
    let [factor, right_side, solution] = bindings else { unreachable!() };
    let (rank, columns, stride) = (p.rank as usize, p.columns as usize, p.feature_stride as usize);
    let factor = &factor.read::<f32>()[..rank * p.stride as usize];
    let upper = MatRef::from_row_major_slice_with_stride(factor, rank, rank, p.stride as usize);
    let solution = &mut solution.write::<f32>()[..rank * stride];
    solution.copy_from_slice(&right_side.read::<f32>()[..rank * stride]);
    // Seen as [d, K], column-major: a feature is a contiguous column.
    solve(upper, MatMut::from_column_major_slice_with_stride_mut(solution, columns, rank, stride));
}

fn solve(upper: MatRef<'_, f32>, out: MatMut<'_, f32>) {
    let blocks = out.nrows().div_ceil(BLOCK_NEURONS);
    if blocks > 1 {
        let (left, right) = out.split_at_row_mut(blocks / 2 * BLOCK_NEURONS);
        rayon::join(|| solve(upper, left), || solve(upper, right));
    } else {
        solve_block(upper, out);
    }
}

/// Forward, then back substitution: what solved features contribute to a block of features is one product, and only within
/// the block is it one by one.
fn solve_block(upper: MatRef<'_, f32>, mut out: MatMut<'_, f32>) {
    let arch = pulp::Arch::new();
    let rank = upper.nrows();
    let starts = (0..rank).step_by(BLOCK_FEATURES);
    for first in starts.clone() {
        let count = BLOCK_FEATURES.min(rank - first);
        let (solved, rest) = out.as_mut().split_at_col_mut(first);
        let mut block = rest.subcols_mut(0, count);
        matmul(block.as_mut(), Accum::Add, solved.as_ref(), upper.submatrix(0, first, first, count), -1.0, Par::Seq);
        let triangle = upper.submatrix(first, first, count, count);
        arch.dispatch(|| {
            for i in 0..count {
                (0..i).for_each(|l| subtract(&mut block, i, l, triangle[(l, i)]));
                divide(&mut block, i, triangle[(i, i)]);
            }
        });
    }
    for first in starts.rev() {
        let count = BLOCK_FEATURES.min(rank - first);
        let end = first + count;
        let (before, solved) = out.as_mut().split_at_col_mut(end);
        let mut block = before.subcols_mut(first, count);
        let coupling = upper.submatrix(first, end, count, rank - end).transpose();
        matmul(block.as_mut(), Accum::Add, solved.as_ref(), coupling, -1.0, Par::Seq);
        let triangle = upper.submatrix(first, first, count, count);
        arch.dispatch(|| {
            for i in (0..count).rev() {
                (i + 1..count).for_each(|l| subtract(&mut block, i, l, triangle[(i, l)]));
                divide(&mut block, i, triangle[(i, i)]);
            }
        });
    }
}

/// Feature i −= factor · feature l.
#[inline(always)]
fn subtract(block: &mut MatMut<'_, f32>, i: usize, l: usize, factor: f32) {
    let (low, high) = (i.min(l), i.max(l));
    let (left, right) = block.as_mut().split_at_col_mut(high);
    let (low, high) = (left.col_mut(low), right.col_mut(0));
    let (target, source) = if i < l { (low, high) } else { (high, low) };
    let target = target.try_as_col_major_mut().expect("features are contiguous").as_slice_mut();
    let source = source.try_as_col_major_mut().expect("features are contiguous").as_slice_mut();
    for (t, s) in target.iter_mut().zip(source) {
        *t -= factor * *s;
    }
}

#[inline(always)]
fn divide(block: &mut MatMut<'_, f32>, i: usize, pivot: f32) {
    let column = block.as_mut().col_mut(i).try_as_col_major_mut().expect("features are contiguous");
    let inverse = 1.0 / pivot;
    column.as_slice_mut().iter_mut().for_each(|v| *v *= inverse);
}
