//! Pairs of f16 on the vectors of AVX512-FP16: the two numbers of a 32-bit word belong to two neurons.
//!
//! An f16 has 11 bits, three more than bf16, and a small range. So powers of two bring each neuron's activations in a block
//! of tokens, and each feature's coefficients, to the top of the range. What is lost at its bottom is below 2⁻²⁰ of the norm
//! of a neuron's activations times that of a feature's coefficients. Products are summed in f16 over short runs of tokens.
//!
//! Rust 1.89 has no functions for these instructions, so they are written in assembly.

use std::arch::asm;
use std::arch::x86_64::*;
use std::sync::OnceLock;

use pulp::f32x16;
use pulp::x86::V4;

use super::LANES;
use super::bf16_pairs::sixteen_f32;
use super::vectors::{Vectors, vectors};
use super::words::{Arithmetic, Task};
use crate::ElementType;

/// Words of two f16, on a processor that multiplies them.
#[derive(Clone, Copy)]
pub(super) struct F16Pairs(V4);

impl F16Pairs {
    /// Nothing if the processor has no such instructions, or if vectors are restricted.
    pub fn new() -> Option<Self> {
        static FOUND: OnceLock<bool> = OnceLock::new();
        let simd = V4::try_new()?;
        let found = *FOUND.get_or_init(|| vectors() == Vectors::Widest && is_x86_feature_detected!("avx512fp16"));
        found.then_some(F16Pairs(simd))
    }

    /// Runs `task`, compiled for these instructions.
    pub fn run<T: Task>(self, task: T) -> T::Output {
        // SAFETY: `new` found the instructions.
        unsafe { self.run_compiled(task) }
    }

    /// With the features of V4 that the twins use.
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
    fn run_compiled<T: Task>(self, task: T) -> T::Output {
        task.run(self.0, self)
    }
}

/// Thirty-two elements from byte `at` on, times their factors, rounded to f16.
#[target_feature(enable = "avx512f")]
#[inline]
fn scaled_elements(element: ElementType, bytes: &[u8], at: usize, factors: &[[f32; LANES]; 2]) -> [f32; LANES] {
    let half = |half: usize| {
        let values = sixteen_f32(element, bytes, at + half * LANES * element.bytes());
        rounded(_mm512_mul_ps(values, bytemuck::cast(factors[half])))
    };
    bytemuck::cast(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(half(0)), half(1)))
}

/// The nearest f16.
#[target_feature(enable = "avx512f")]
#[inline]
fn rounded(values: __m512) -> __m256i {
    _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values)
}

/// At most sixteen numbers times their factors, rounded to f16, each of them twice in a word.
#[target_feature(enable = "avx512f")]
#[inline]
fn scaled_twice(values: &[f32], factors: &[f32], words: &mut [f32]) {
    assert!(values.len() <= LANES && values.len() == factors.len() && values.len() == words.len());
    let lanes = ((1u32 << values.len()) - 1) as __mmask16;
    // SAFETY: no more numbers are loaded or stored than there are.
    unsafe {
        let [values, factors] = [values, factors].map(|numbers| _mm512_maskz_loadu_ps(lanes, numbers.as_ptr()));
        let once = _mm512_cvtepu16_epi32(rounded(_mm512_mul_ps(values, factors)));
        let twice = _mm512_or_si512(once, _mm512_slli_epi32::<16>(once));
        _mm512_mask_storeu_ps(words.as_mut_ptr(), lanes, _mm512_castsi512_ps(twice));
    }
}

/// x · y + sum, of 32 f16.
///
/// # Safety
/// The processor must have AVX512-FP16.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn multiply_add(x: __m512i, y: __m512i, mut sum: __m512i) -> __m512i {
    // SAFETY: by the caller; the instruction touches its registers alone.
    unsafe {
        asm!(
            "vfmadd231ph {sum}, {x}, {y}",
            sum = inout(zmm_reg) sum, x = in(zmm_reg) x, y = in(zmm_reg) y,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// The sums of 32 f16.
///
/// # Safety
/// The processor must have AVX512-FP16.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn add(mut first: __m512i, second: __m512i) -> __m512i {
    // SAFETY: by the caller; the instruction touches its registers alone.
    unsafe {
        asm!(
            "vaddph {first}, {first}, {second}",
            first = inout(zmm_reg) first, second = in(zmm_reg) second,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    first
}

impl Arithmetic<V4> for F16Pairs {
    const TOKENS: usize = 1;
    const NEURONS: usize = 2;
    // A sum has 128 products below 2⁸, and f16 go up to 2¹⁶ − 32. In the worst case each addition is off by half a unit
    // of the sum's 11 bits. So a product takes part in at most 16 + 8 additions, where f32 would have 128.
    const BLOCK: usize = 128;
    const RUN: usize = 16;
    const TOP: Option<i32> = Some(4);

    #[inline(always)]
    fn activations(self, element: ElementType, [token, _]: [&[u8]; 2], factors: &[f32], words: &mut [f32]) {
        let (vectors, rest) = words.as_chunks_mut::<LANES>();
        let (factors, _) = factors.as_chunks::<LANES>().0.as_chunks::<2>();
        // SAFETY: `new` found the instructions.
        let pairs = |index: usize| unsafe {
            scaled_elements(element, token, index * 2 * LANES * element.bytes(), &factors[index])
        };
        let whole = vectors.len();
        for (index, words) in vectors.iter_mut().enumerate() {
            *words = pairs(index);
        }
        if !rest.is_empty() {
            rest.copy_from_slice(&pairs(whole)[..rest.len()]);
        }
    }

    /// Each number twice, so that a vector of a word's copies has the number in all lanes.
    #[inline(always)]
    fn coefficients(self, [token, _]: [&[f32]; 2], factors: &[f32], words: &mut [f32]) {
        let numbers = token.chunks(LANES).zip(factors.chunks(LANES));
        for ((values, factors), words) in numbers.zip(words.chunks_mut(LANES)) {
            // SAFETY: `new` found the instructions.
            unsafe { scaled_twice(values, factors, words) };
        }
    }

    #[inline(always)]
    fn multiply_add(self, _: V4, x: f32x16, y: f32x16, sum: f32x16) -> f32x16 {
        let [x, y, sum] = [x, y, sum].map(bytemuck::cast);
        // SAFETY: `new` found the instructions.
        bytemuck::cast(unsafe { multiply_add(x, y, sum) })
    }

    #[inline(always)]
    fn add(self, _: V4, first: f32x16, second: f32x16) -> f32x16 {
        let [first, second] = [first, second].map(bytemuck::cast);
        // SAFETY: `new` found the instructions.
        bytemuck::cast(unsafe { add(first, second) })
    }

    #[inline(always)]
    fn add_to(self, _: V4, sums: f32x16, undo: &[f32], out: &mut [f32]) {
        let sums: [__m256i; 2] = bytemuck::cast(sums);
        for ((&sums, undo), out) in sums.iter().zip(undo.as_chunks::<LANES>().0).zip(out.as_chunks_mut::<LANES>().0) {
            let [undo, before] = [*undo, *out].map(bytemuck::cast::<_, __m512>);
            // SAFETY: `new` found the instructions.
            *out = bytemuck::cast(unsafe { _mm512_fmadd_ps(_mm512_cvtph_ps(sums), undo, before) });
        }
    }
}
