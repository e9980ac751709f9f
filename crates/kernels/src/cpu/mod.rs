//! What the CPU twins share: reading elements, and vectorised loops compiled for the processor at hand.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx_product;
mod dense_product;
mod dense_projection;
mod packed_product;
mod register_blocks;
mod shares;
mod sparse_product;
mod transposition;
mod vectors;

use std::cell::RefCell;

use crate::ElementType;

pub use dense_product::uses_amx;
pub(crate) use dense_product::{Operands, dense_product};
pub(crate) use dense_projection::{Projected, dense_projection};
pub(crate) use register_blocks::{BLOCK, PackedBlocks, Sums, add_product, subtract_products, vectors_at_once};
pub(crate) use shares::{contiguous, for_each_share};
pub(crate) use sparse_product::SparseCoefficients;
pub(crate) use transposition::{LANES, decode_transposed, deinterleave, interleave};
pub(crate) use vectors::arch;
pub use vectors::{VECTORS_VARIABLE, Vectors};

thread_local! {
    /// As many buffers as were ever in use at once, shortest first.
    static SCRATCH: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// A cache line, and the widest vector.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([f32; LANES]);

/// Runs `work` with a thread's scratch buffer of `len` floats, whose content is arbitrary. It begins with a cache line: vectors
/// that lie across two of them take twice as long.
pub(crate) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    // Taken out rather than borrowed: a twin that steals work while it holds one must get another.
    let lines = len.div_ceil(LANES);
    let shorter = |buffers: &[Vec<Line>], lines| buffers.partition_point(|buffer| buffer.len() < lines);
    let kept = SCRATCH.with_borrow_mut(|buffers| {
        let shorter = shorter(buffers, lines);
        if shorter < buffers.len() {
            return Some(buffers.remove(shorter));
        }
        // The longest makes room for a longer one.
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

/// A row-major matrix of elements in memory, rows `stride` elements apart.
#[derive(Clone, Copy)]
pub(crate) struct Elements<'a> {
    bytes: &'a [u8],
    element: ElementType,
    stride: usize,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(bytes: &'a [u8], element: ElementType, stride: u32) -> Self {
        Elements { bytes, element, stride: stride as usize }
    }

    /// The matrix that begins with element `first`.
    pub(crate) fn from(bytes: &'a [u8], first: u32, element: ElementType, stride: u32) -> Self {
        Self::new(&bytes[first as usize * element.bytes()..], element, stride)
    }

    /// Elements of a row, with what is behind it, that can be read: up to the next row, or the end.
    pub(crate) fn readable_of(&self, row: usize) -> usize {
        (self.bytes.len() / self.element.bytes() - row * self.stride).min(self.stride)
    }

    /// How they are stored.
    pub(crate) fn element(&self) -> ElementType {
        self.element
    }

    /// The bytes of columns `first..first + count` of row `row`.
    pub(crate) fn bytes(&self, row: usize, first: usize, count: usize) -> &'a [u8] {
        let size = self.element.bytes();
        &self.bytes[(row * self.stride + first) * size..][..count * size]
    }

    /// Decodes columns `first..first + out.len()` of row `row`.
    pub(crate) fn decode(&self, row: usize, first: usize, out: &mut [f32]) {
        self.element.decode(self.bytes(row, first, out.len()), out);
    }
}

/// Asks for the bytes' cache lines, where the processor can be asked.
#[inline(always)]
pub(crate) fn prefetch(bytes: &[u8]) {
    bytes.chunks(64).for_each(|line| prefetch_line(line.as_ptr()));
}

/// Asks for the cache line at an address, which need not be one of ours, in the second-level cache: the first one is full of what
/// is computed with.
#[inline(always)]
pub(crate) fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch may name any address.
        #[allow(unused_unsafe, reason = "unsafe in older versions of Rust")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(address.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// The bits of |value|, which are in the order of the magnitudes.
#[inline(always)]
pub(crate) fn magnitude(value: f32) -> u32 {
    value.to_bits() & 0x7fff_ffff
}

/// Splits an f64 into an f32 pair (hi, lo) whose sum is as close to it as f32 pairs get.
pub(crate) fn split_f64(value: f64) -> [f32; 2] {
    let hi = value as f32;
    let lo = if hi.is_finite() { (value - f64::from(hi)) as f32 } else { 0.0 };
    [hi, lo]
}
