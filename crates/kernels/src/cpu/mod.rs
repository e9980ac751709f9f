//! What the CPU twins share: reading elements, and vectorised loops compiled for the processor at hand.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx_product;
#[cfg(target_arch = "x86_64")]
mod bf16_pairs;
mod dense_product;
mod dense_projection;
mod elements;
#[cfg(target_arch = "x86_64")]
mod f16_pairs;
mod feature_tiles;
mod nonzeros;
mod operands;
mod packed_coefficients;
mod packed_product;
mod prefetch;
mod product_instructions;
mod projected;
mod register_blocks;
mod scaling;
mod selection;
mod shares;
mod sparse_descent;
mod sparse_product;
mod splat;
mod transposition;
mod vectors;
mod words;

use std::cell::RefCell;

pub use dense_product::product_instructions;
pub(crate) use dense_projection::dense_projection;
pub(crate) use elements::Elements;
pub(crate) use nonzeros::{count_nonzeros, for_each_nonzero};
pub(crate) use operands::Operands;
pub(crate) use prefetch::{prefetch, prefetch_line};
pub use product_instructions::ProductInstructions;
pub(crate) use projected::Projected;
pub(crate) use register_blocks::{BLOCK, PackedBlocks, Sums, add_product, subtract_products, vectors_at_once};
pub(crate) use selection::{bring_to_unit_norm, largest, largest_again};
pub(crate) use shares::{contiguous, for_each_share};
pub(crate) use sparse_descent::SparseDescent;
pub(crate) use sparse_product::{Product, products};
pub(crate) use splat::splat;
pub(crate) use transposition::{LANES, decode_transposed, deinterleave, interleave};
pub(crate) use vectors::arch;
pub use vectors::{VECTORS_VARIABLE, Vectors};

thread_local! {
    /// As many buffers as were ever in use at once, the shortest first.
    static SCRATCH: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// A cache line, which is also as long as the widest vector.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

/// Runs `work` with a scratch buffer of `len` floats, whose content is arbitrary. Each thread has its own. The buffer
/// begins on a cache line, because vectors that lie across two lines take twice as long.
pub(crate) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    // The buffer is taken out rather than borrowed: a twin that steals work while it holds one must get another.
    let lines = len.div_ceil(LANES);
    let shorter = |buffers: &[Vec<Line>], lines| buffers.partition_point(|buffer| buffer.len() < lines);
    let kept = SCRATCH.with_borrow_mut(|buffers| {
        let shorter = shorter(buffers, lines);
        if shorter < buffers.len() {
            return Some(buffers.remove(shorter));
        }
        // The longest buffer makes room for a longer one.
        buffers.pop();
        None
    });
    let mut scratch = kept.unwrap_or_else(|| vec![Line([0.0; LANES]); lines]);
    let result = work(&mut bytemuck::cast_slice_mut(&mut scratch)[..len]);
    SCRATCH.with_borrow_mut(|buffers| {
        let place = shorter(buffers, scratch.len());
        buffers.insert(place, scratch);
    });
    result
}

/// The bits of |value|. Their order is that of the magnitudes.
#[inline(always)]
pub(crate) fn magnitude(value: f32) -> u32 {
    value.to_bits() & 0x7fff_ffff
}

/// Splits an f64 into an f32 pair (hi, lo) whose sum is as near to it as a pair of f32 can be.
pub(crate) fn split_f64(value: f64) -> [f32; 2] {
    let hi = value as f32;
    let lo = if hi.is_finite() { (value - f64::from(hi)) as f32 } else { 0.0 };
    [hi, lo]
}
