//! Pairs of bf16 on the vectors of AVX-512: the two numbers of a 32-bit word belong to two tokens.

use std::arch::x86_64::*;
use std::sync::OnceLock;

use pulp::x86::V4;

use super::LANES;
use super::vectors::{Vectors, vectors};
use super::words::{Arithmetic, Task};

/// Sixteen numbers of two tokens side by side, the first one in the lower half of a word, each rounded to the nearest
/// bf16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
pub(super) fn rounded_pairs([first, second]: [__m512; 2]) -> [u32; LANES] {
    let rounded: __m512i = bytemuck::cast(_mm512_cvtne2ps_pbh(second, first));
    let pairs: [u16; 2 * LANES] = std::array::from_fn(|i| (i / 2 + i % 2 * LANES) as u16);
    bytemuck::cast(_mm512_permutexvar_epi16(bytemuck::cast(pairs), rounded))
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
    fn pack(self, tokens: [&[f32]; 2], words: &mut [f32]) {
        for (index, words) in words.chunks_mut(LANES).enumerate() {
            let pair = tokens.map(|token| {
                let mut values = [0f32; LANES];
                let token = token.get(index * LANES..).unwrap_or_default();
                let count = token.len().min(words.len());
                values[..count].copy_from_slice(&token[..count]);
                bytemuck::cast(values)
            });
            // SAFETY: `new` found the instructions.
            let pairs = unsafe { rounded_pairs(pair) };
            words.copy_from_slice(&bytemuck::cast::<_, [f32; LANES]>(pairs)[..words.len()]);
        }
    }

    #[inline(always)]
    fn multiply_add(self, _: V4, x: pulp::f32x16, y: pulp::f32x16, sum: pulp::f32x16) -> pulp::f32x16 {
        let [x, y] = [x, y].map(|words| bytemuck::cast::<pulp::f32x16, __m512>(words));
        // SAFETY: `new` found the instructions; a vector of words has the bits of a vector of pairs.
        bytemuck::cast(unsafe {
            let [x, y] = [x, y].map(|words| std::mem::transmute::<__m512, __m512bh>(words));
            _mm512_dpbf16_ps(bytemuck::cast::<pulp::f32x16, __m512>(sum), x, y)
        })
    }
}
