//! The cross product YᵀX, the one dense product of an iteration.
//!
//! With the coefficients themselves as operand, this is the coefficient Gram matrix YᵀY.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use crate::cpu::{Elements, params, with_scratch};
use crate::fixed_order_sum::fixed_order_sum;
use crate::{Access, BufferId, Cost, ElementType, Kernel, Matrix, Memory, Recording};

/// Features of a tile.
pub const TILE_FEATURES: u32 = 64;
/// Neurons of a tile.
pub const TILE_NEURONS: u32 = 64;

/// The kernel's metadata.
pub static CROSS_PRODUCT: Kernel = Kernel {
    name: "cross_product",
    access: &[Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: true,
    twin,
};

#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Params {
    rows: u32,
    columns: u32,
    stride: u32,
    rank: u32,
    coefficient_stride: u32,
    out_stride: u32,
    split_rows: u32,
    accumulate: u32,
    scale: f32,
}

/// How a cross product is split over tokens: `parts` products, summed in fixed order through `partials`.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// Number of parts; 1 needs no partials.
    pub parts: u32,
    /// Room for `parts` results of the product.
    pub partials: BufferId,
}

/// Records `out` (+)= scale · YᵀX for X = `activations` [rows, d], Y = `coefficients` [rows, K], `out` [K, d].
pub fn cross_product(
    recording: &mut Recording,
    activations: Matrix,
    coefficients: Matrix,
    out: Matrix,
    scale: f32,
    accumulate: bool,
    split: Option<Split>,
) {
    assert_eq!(activations.rows, coefficients.rows, "cross product: tokens");
    assert_eq!((out.rows, out.columns), (coefficients.columns, activations.columns), "cross product: result");
    let split = split.filter(|split| split.parts > 1);
    let parts = split.map_or(1, |split| split.parts);
    let split_rows = activations.rows.div_ceil(parts).max(1);
    // Rounding up may leave the last parts without rows.
    let parts = activations.rows.div_ceil(split_rows).max(1);
    recording.dispatch(
        &CROSS_PRODUCT,
        activations.element,
        &Params {
            rows: activations.rows,
            columns: activations.columns,
            stride: activations.stride,
            rank: coefficients.columns,
            coefficient_stride: coefficients.stride,
            out_stride: out.stride,
            split_rows,
            accumulate: (split.is_none() && accumulate).into(),
            scale,
        },
        &[activations.resource, coefficients.resource, split.map_or(out.resource, |split| split.partials.into())],
        [out.columns.div_ceil(TILE_NEURONS), out.rows.div_ceil(TILE_FEATURES), parts],
        Cost {
            bytes_read: activations.bytes() + coefficients.bytes(),
            bytes_written: u64::from(parts) * out.bytes(),
            flops: 2 * u64::from(activations.rows) * u64::from(out.rows) * u64::from(out.columns),
        },
    );
    if let Some(split) = split {
        fixed_order_sum(recording, split.partials, out, parts, accumulate);
    }
}

/// Neurons that a thread multiplies at once, and rows decoded at once: both operands of a block stay in L2.
const BLOCK_NEURONS: usize = 256;
const BLOCK_ROWS: usize = 512;

fn twin(bytes: &[u8], element: ElementType, bindings: &mut [Memory<'_>]) {
    let p: Params = params(bytes);
    let [activations, coefficients, out] = bindings else { unreachable!() };
    let (rank, columns, out_stride) = (p.rank as usize, p.columns as usize, p.out_stride as usize);
    let y_stride = p.coefficient_stride as usize;
    let activations = Elements::new(activations.bytes(), element, p.stride);
    let coefficients = coefficients.read::<f32>();
    for (split, out) in out.write::<f32>().chunks_exact_mut(rank * out_stride).enumerate() {
        let first = split * p.split_rows as usize;
        let rows = (p.rows as usize).saturating_sub(first).min(p.split_rows as usize);
        if rows == 0 {
            break;
        }
        let coefficients = MatRef::from_row_major_slice_with_stride(
            &coefficients[first * y_stride..(first + rows) * y_stride],
            rows,
            rank,
            y_stride,
        );
        // The result is handled as [d, K], column-major: the orientation in which faer is fast.
        let out = MatMut::from_column_major_slice_with_stride_mut(out, columns, rank, out_stride);
        let product = Product { activations, p: &p, first, coefficients };
        product.run(0, out);
    }
}

struct Product<'a> {
    activations: Elements<'a>,
    p: &'a Params,
    first: usize,
    coefficients: MatRef<'a, f32>,
}

impl Product<'_> {
    /// Halves the neurons until a block is left. Every block is summed by one thread in one order, so that the result does
    /// not depend on the number of threads.
    fn run(&self, neuron: usize, out: MatMut<'_, f32>) {
        let blocks = out.nrows().div_ceil(BLOCK_NEURONS);
        if blocks > 1 {
            let middle = blocks / 2 * BLOCK_NEURONS;
            let (left, right) = out.split_at_row_mut(middle);
            rayon::join(|| self.run(neuron, left), || self.run(neuron + middle, right));
        } else {
            self.block(neuron, out);
        }
    }

    fn block(&self, neuron: usize, mut out: MatMut<'_, f32>) {
        let width = out.nrows();
        let stride = self.p.stride as usize;
        for first in (0..self.coefficients.nrows()).step_by(BLOCK_ROWS) {
            let rows = BLOCK_ROWS.min(self.coefficients.nrows() - first);
            let coefficients = self.coefficients.subrows(first, rows);
            let accum = if first > 0 || self.p.accumulate != 0 { Accum::Add } else { Accum::Replace };
            if let Some(values) = self.activations.as_f32() {
                let values = &values[(self.first + first) * stride + neuron..][..(rows - 1) * stride + width];
                let block = MatRef::from_column_major_slice_with_stride(values, width, rows, stride);
                matmul(out.as_mut(), accum, block, coefficients, self.p.scale, Par::Seq);
            } else {
                with_scratch(rows * width, |values| {
                    for (row, values) in values.chunks_exact_mut(width).enumerate() {
                        self.activations.decode(self.first + first + row, neuron, values);
                    }
                    let block = MatRef::from_column_major_slice(values, width, rows);
                    matmul(out.as_mut(), accum, block, coefficients, self.p.scale, Par::Seq);
                });
            }
        }
    }
}
