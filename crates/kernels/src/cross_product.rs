//! The cross product YᵀX, the one dense product of an iteration.
//!
//! If the coefficients themselves take the place of the activations, this is the coefficient Gram matrix YᵀY.

use faer::MatMut;

use crate::cpu::{Elements, Operands, Product, products};
use crate::fixed_order_sum::{PendingSum, fixed_order_sum};
use crate::variant::{TILE_64, TILE_128};
use crate::{
    Access, BoundDispatch, BufferId, Cost, CpuTwin, ElementType, Kernel, Matrix, Moved, Needs, Precision, Promise,
    Recording, Variant,
};

/// The kernel's metadata.
pub static CROSS_PRODUCT: Kernel = Kernel {
    name: "cross_product",
    access: &[Access::Read, Access::Read, Access::ReadWrite],
    params_size: size_of::<Params>(),
    reads_elements: true,
    variants: &[
        // AMD's and NVIDIA's matrix units take the tokens of a column at once. Apple's devices transpose a matrix while they load it.
        cooperative(
            "cooperative_16_subgroup_64",
            &["matrix_16", "subgroup_64", "token_columns", "parts_4"],
            16,
            64,
            HALVES,
        ),
        cooperative(
            "cooperative_16_subgroup_32_tall",
            &["matrix_16", "subgroup_32", "token_columns", "parts_7"],
            16,
            32,
            SEVENTHS,
        ),
        cooperative(
            "cooperative_16_subgroup_32",
            &["matrix_16", "subgroup_32", "token_columns", "parts_8"],
            16,
            32,
            QUARTERS,
        ),
        // Where the wider tile has no room, and for `unmix tune`.
        cooperative(
            "cooperative_16_subgroup_32_narrow",
            &["matrix_16", "subgroup_32", "token_columns", "parts_4"],
            16,
            32,
            HALVES,
        ),
        cooperative("cooperative_8_subgroup_32", &["matrix_8", "subgroup_32", "token_rows", "parts_4"], 8, 32, HALVES),
        cooperative(
            "cooperative_8_subgroup_8",
            &["matrix_8", "subgroup_8", "token_columns", "parts_8"],
            8,
            8,
            QUARTERS,
        ),
        // The tests of the tall tile run on software devices.
        cooperative(
            "cooperative_8_subgroup_8_tall",
            &["matrix_8", "subgroup_8", "token_columns", "parts_7"],
            8,
            8,
            SEVENTHS,
        ),
        TILE_128,
        TILE_64,
    ],
    twin: CpuTwin::Together(twin),
};

/// The parts of a tile on cooperative matrices, one for each subgroup.
#[derive(Clone, Copy)]
struct Parts {
    down: u32,
    across: u32,
    /// Matrices of a part, across and down.
    matrices: [u32; 2],
}

const HALVES: Parts = Parts { down: 2, across: 2, matrices: [4, 2] };
const QUARTERS: Parts = Parts { down: 2, across: 4, matrices: [4, 2] };
/// Each has all features of the tile. So little is loaded for each product, and 100 and 400 features fill such tiles well.
const SEVENTHS: Parts = Parts { down: 1, across: 7, matrices: [2, 7] };

/// A variant on cooperative matrices of `size` × `size`, with a subgroup of `subgroup` threads for each part of its tile. The matrices
/// multiply f16, which holds the activations exactly: those of bf16 times a power of two. The coefficients are split in two, or rounded
/// to 11 bits where that is allowed.
const fn cooperative(
    name: &'static str,
    features: &'static [&'static str],
    size: u32,
    subgroup: u32,
    Parts { down, across, matrices }: Parts,
) -> Variant {
    let tile = [across * matrices[0] * size, down * matrices[1] * size, 1];
    Variant {
        name,
        shader: Some("cross_product_cooperative"),
        features,
        tile,
        elements: &[ElementType::F16, ElementType::Bf16],
        rounds: true,
        enough_workgroups: Variant::PORTABLE.enough_workgroups,
        needs: Needs {
            threads: down * across * subgroup,
            // Rows of 80 bytes at most, a matrix of results for each part, and the largest magnitudes.
            workgroup_bytes: (tile[0] + 2 * tile[1]) * 80 + down * across * size * size * 4 + 32,
            sixteen_bits: true,
            subgroup_size: Some(subgroup),
            cooperative_matrix: Some(size),
            many_registers: false,
        },
    }
}

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
    first: u32,
    scale: f32,
    symmetric: u32,
}

impl Params {
    /// Number of parts of the sum that have rows.
    fn parts(&self) -> usize {
        self.rows.div_ceil(self.split_rows) as usize
    }
}

/// How the sums of a cross product are taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summation {
    /// How precise its products must be.
    pub precision: Precision,
    /// Whether the sum is taken in parts, each over a run of tokens.
    pub split: Option<Split>,
}

/// How a cross product is split over tokens: `parts` products, summed in fixed order through `partials`.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// Number of parts. A single part needs no partials.
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
    summation: Summation,
) {
    if let Some(sum) = cross_product_parts(recording, activations, coefficients, out, scale, accumulate, summation) {
        fixed_order_sum(recording, sum);
    }
}

/// The same, but if the sum is taken in parts, only the parts are recorded. [`fixed_order_sum`] must follow then.
pub fn cross_product_parts(
    recording: &mut Recording,
    activations: Matrix,
    coefficients: Matrix,
    out: Matrix,
    scale: f32,
    accumulate: bool,
    summation: Summation,
) -> Option<PendingSum> {
    assert_eq!(activations.rows, coefficients.rows, "cross product: tokens");
    assert_eq!((out.rows, out.columns), (coefficients.columns, activations.columns), "cross product: result");
    let split = summation.split.filter(|split| split.parts > 1);
    let parts = split.map_or(1, |split| split.parts);
    let split_rows = activations.rows.div_ceil(parts).max(1);
    // Because of the rounding up, the last parts may have no rows.
    let parts = activations.rows.div_ceil(split_rows).max(1);
    let result = match split {
        Some(_) => Moved::written(u64::from(parts) * out.bytes()),
        None => Moved::summed(out.bytes(), accumulate),
    };
    let of_itself = (activations.resource, activations.first, activations.stride, activations.columns)
        == (coefficients.resource, 0, coefficients.stride, coefficients.columns);
    let dispatch = recording.dispatch(
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
            first: activations.first,
            scale,
            symmetric: of_itself.into(),
        },
        &[activations.resource, coefficients.resource, split.map_or(out.resource, |split| split.partials.into())],
        [out.columns, out.rows, parts],
        Cost {
            moved: vec![activations.read(), coefficients.read(), result],
            flops: if of_itself {
                u64::from(activations.rows) * u64::from(out.rows) * (u64::from(out.rows) + 1)
            } else {
                2 * u64::from(activations.rows) * u64::from(out.rows) * u64::from(out.columns)
            },
        },
    );
    dispatch.promise = Promise { precision: summation.precision, symmetric: of_itself };
    dispatch.prepared = vec![activations, coefficients];
    split.map(|split| PendingSum { partials: split.partials, parts, out, accumulate })
}

fn twin(dispatches: &mut [BoundDispatch<'_>]) {
    products(dispatches.iter_mut().flat_map(products_of).collect());
    for BoundDispatch { call, bindings } in dispatches.iter_mut().filter(|dispatch| dispatch.call.promise.symmetric) {
        let p: Params = call.params();
        let (rank, out_stride) = (p.rank as usize, p.out_stride as usize);
        for out in bindings[2].write::<f32>().chunks_exact_mut(rank * out_stride).take(p.parts()) {
            for feature in 0..rank {
                for neuron in feature + 1..rank {
                    out[feature * out_stride + neuron] = out[neuron * out_stride + feature];
                }
            }
        }
    }
}

/// The product of a dispatch, or its parts.
fn products_of<'b>(BoundDispatch { call, bindings }: &'b mut BoundDispatch<'_>) -> impl Iterator<Item = Product<'b>> {
    let (p, element, Promise { precision, symmetric }) = (call.params::<Params>(), call.element, call.promise);
    let [activations, coefficients, out] = &mut bindings[..] else { unreachable!() };
    let (rank, columns, out_stride) = (p.rank as usize, p.columns as usize, p.out_stride as usize);
    let stride = p.coefficient_stride as usize;
    let activations = Elements::from(activations.bytes(), p.first, element, p.stride);
    let coefficients = coefficients.read::<f32>();
    let parts = out.write::<f32>().chunks_exact_mut(rank * out_stride).take(p.parts()).enumerate();
    parts.map(move |(part, out)| {
        let first_row = part * p.split_rows as usize;
        let rows = (p.rows as usize - first_row).min(p.split_rows as usize);
        let coefficients = &coefficients[first_row * stride..(first_row + rows) * stride];
        let operands =
            Operands { activations, first_row, coefficients, stride, rank, rows, scale: p.scale, symmetric, precision };
        // The result is treated as [d, K], column-major, so that a feature is a contiguous column.
        let out = MatMut::from_column_major_slice_with_stride_mut(out, columns, rank, out_stride);
        Product { operands, out, accumulate: p.accumulate != 0 }
    })
}
