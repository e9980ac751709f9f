//! Factors of vectors: one number in all lanes.

use pulp::Simd;

/// A vector with `factors[index]` in all lanes. NEON multiplies by a lane of a vector, so there four factors are loaded at
/// once where each would need a load of its own. The compiler sees this if it unrolls the loop over `index`.
#[inline(always)]
pub(crate) fn splat<S: Simd, const N: usize>(simd: S, factors: &[f32; N], index: usize) -> S::f32s {
    #[cfg(target_arch = "aarch64")]
    if let Some(&four) = factors.as_chunks().0.get(index / LANES) {
        return simd.splat_f32s(loaded(four)[index % LANES]);
    }
    simd.splat_f32s(factors[index])
}

/// Lanes of a vector of NEON.
#[cfg(target_arch = "aarch64")]
const LANES: usize = 4;

/// The same numbers, which the compiler loads as a vector.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn loaded(four: [f32; LANES]) -> [f32; LANES] {
    use std::arch::aarch64::{float32x4_t, vld1q_f32};
    // SAFETY: every processor of this architecture has NEON, four numbers are loaded, and a vector has their bits.
    unsafe { std::mem::transmute::<float32x4_t, [f32; LANES]>(vld1q_f32(four.as_ptr())) }
}
