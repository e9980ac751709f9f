//! Pairs of bf16 on the vectors of AVX-512: the two numbers of a 32-bit word belong to two tokens.

use std::arch::x86_64::*;
use std::sync::OnceLock;

use bytemuck::Pod;
use pulp::x86::V4;

use super::LANES;
use super::vectors::{Vectors, vectors};
use super::words::{Arithmetic, Task};
use crate::ElementType;

/// Sixteen elements as a vector, with zeros if there are not enough bytes.
#[inline(always)]
pub(super) fn sixteen<V: Pod>(bytes: &[u8], at: usize) -> V {
    match bytes.get(at..at + size_of::<V>()) {
        Some(bytes) => bytemuck::pod_read_unaligned(bytes),
        None => {
            let mut vector = V::zeroed();
            let rest = bytes.get(at..).unwrap_or_default();
            bytemuck::bytes_of_mut(&mut vector)[..rest.len()].copy_from_slice(rest);
            vector
        }
    }
}

/// Two tokens side by side, with the first one in the lower half.
#[target_feature(enable = "avx512f")]
#[inline]
fn bf16_pairs([first, second]: [__m256i; 2]) -> [u32; LANES] {
    let second = _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16);
    bytemuck::cast(_mm512_or_si512(_mm512_cvtepu16_epi32(first), second))
}

/// Sixteen elements of f16 or f32 as f32, from byte `at` on.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn sixteen_f32(element: ElementType, bytes: &[u8], at: usize) -> __m512 {
    match element {
        ElementType::F16 => _mm512_cvtph_ps(sixteen(bytes, at)),
        ElementType::F32 => sixteen(bytes, at),
        ElementType::Bf16 => bytemuck::cast(_mm512_slli_epi32(_mm512_cvtepu16_epi32(sixteen(bytes, at)), 16)),
    }
}

/// Sixteen elements of two tokens side by side, from byte `at` of each on, rounded to bf16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
pub(super) fn rounded_elements(element: ElementType, tokens: [&[u8]; 2], at: usize) -> [u32; LANES] {
    match element {
        ElementType::Bf16 => bf16_pairs(tokens.map(|bytes| sixteen(bytes, at))),
        _ => rounded_pairs(tokens.map(|bytes| sixteen_f32(element, bytes, at))),
    }
}

/// Sixteen numbers of two tokens side by side, the first one in the lower half of a word, each rounded to the nearest
/// bf16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
fn rounded_pairs([first, second]: [__m512; 2]) -> [u32; LANES] {
    let rounded: __m512i = bytemuck::cast(_mm512_cvtne2ps_pbh(second, first));
    let pairs: [u16; 2 * LANES] = std::array::from_fn(|i| (i / 2 + i % 2 * LANES) as u16);
    bytemuck::cast(_mm512_permutexvar_epi16(bytemuck::cast(pairs), rounded))
}

/// Whether the processor is one of Intel.
fn is_intel() -> bool {
    #[allow(unused_unsafe, reason = "unsafe in older versions of Rust")]
    // SAFETY: every processor with 64 bits has the instruction.
    let vendor = unsafe { __cpuid(0) };
    let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
    name.as_flattened() == b"GenuineIntel"
}

/// Words of two bf16, on a processor that multiplies them.
#[derive(Clone, Copy)]
pub(super) struct Bf16Pairs(V4);

impl Bf16Pairs {
    /// Nothing if the processor has no such instructions, or if vectors are restricted.
    pub fn new() -> Option<Self> {
        static FOUND: OnceLock<bool> = OnceLock::new();
        let simd = V4::try_new()?;
        let found = *FOUND.get_or_init(|| vectors() == Vectors::Widest && is_x86_feature_detected!("avx512bf16"));
        found.then_some(Bf16Pairs(simd))
    }

    /// The same, but nothing where f32 are multiplied faster. Intel's processors multiply a vector of pairs in the time of
    /// four vectors of f32, and AMD's in that of one.
    pub fn if_fast() -> Option<Self> {
        static INTEL: OnceLock<bool> = OnceLock::new();
        Self::new().filter(|_| !*INTEL.get_or_init(is_intel))
    }

    /// Runs `task`, compiled for these instructions.
    pub fn run<T: Task>(self, task: T) -> T::Output {
        // SAFETY: `new` found the instructions.
        unsafe { self.run_compiled(task) }
    }

    /// With the features of V4 that the twins use, and pairs.
    #[target_feature(
        enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"
    )]
    fn run_compiled<T: Task>(self, task: T) -> T::Output {
        task.run(self.0, self)
    }
}

impl Arithmetic<V4> for Bf16Pairs {
    const TOKENS: usize = 2;

    #[inline(always)]
    fn activations(self, element: ElementType, tokens: [&[u8]; 2], _: &[f32], words: &mut [f32]) {
        let (vectors, rest) = words.as_chunks_mut::<LANES>();
        let whole = vectors.len() * LANES;
        // SAFETY: `new` found the instructions.
        let pairs = |neuron| unsafe { rounded_elements(element, tokens, neuron * element.bytes()) };
        for (index, words) in vectors.iter_mut().enumerate() {
            *words = bytemuck::cast(pairs(index * LANES));
        }
        if !rest.is_empty() {
            rest.copy_from_slice(&bytemuck::cast::<_, [f32; LANES]>(pairs(whole))[..rest.len()]);
        }
    }

    #[inline(always)]
    fn multiply_add(self, _: V4, x: pulp::f32x16, y: pulp::f32x16, sum: pulp::f32x16) -> pulp::f32x16 {
        let [x, y] = [x, y].map(bytemuck::cast::<pulp::f32x16, __m512>);
        // SAFETY: `new` found the instructions; a vector of words has the bits of a vector of pairs.
        bytemuck::cast(unsafe {
            let [x, y] = [x, y].map(|words| std::mem::transmute::<__m512, __m512bh>(words));
            _mm512_dpbf16_ps(bytemuck::cast::<pulp::f32x16, __m512>(sum), x, y)
        })
    }
}
