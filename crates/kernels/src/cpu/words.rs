//! What a dense product on vectors packs: words of 32 bits, each with the number of one token, or with the numbers of
//! two tokens, rounded to bf16. Some processors multiply pairs of bf16 as fast as single f32.

use pulp::{Arch, Simd, WithSimd};

#[cfg(target_arch = "x86_64")]
use super::bf16_pairs::Bf16Pairs;
use super::vectors::arch;
use crate::ElementType;

/// How words are packed and multiplied. `S` has the vectors.
pub(super) trait Arithmetic<S: Simd>: Copy {
    /// Tokens of a word.
    const TOKENS: usize;

    /// Decodes the elements of as many tokens as a word has, and packs them. A second token that is not there is empty,
    /// and counts as zeros.
    fn decode(self, element: ElementType, tokens: [&[u8]; 2], words: &mut [f32]);

    /// sum + the products of the tokens of words.
    fn multiply_add(self, simd: S, x: S::f32s, y: S::f32s, sum: S::f32s) -> S::f32s;
}

/// What runs with some vectors and some arithmetic.
pub(super) trait Task {
    type Output;

    fn run<S: Simd, A: Arithmetic<S>>(self, simd: S, arithmetic: A) -> Self::Output;
}

/// The instructions of this processor for one kind of words.
#[derive(Clone, Copy)]
pub(super) enum Processor {
    F32(Arch),
    #[cfg(target_arch = "x86_64")]
    Bf16(Bf16Pairs),
}

impl Processor {
    /// Multiplies f32.
    pub fn f32() -> Self {
        Self::F32(arch())
    }

    /// Rounds to bf16, if this processor multiplies pairs of them faster than f32, and vectors are not restricted.
    pub fn bf16() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return Bf16Pairs::if_fast().map(Self::Bf16);
        #[cfg(not(target_arch = "x86_64"))]
        None
    }

    /// Tokens of a word.
    pub fn tokens(self) -> usize {
        match self {
            Self::F32(_) => 1,
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(_) => 2,
        }
    }

    /// Runs `task`, which is compiled for the instructions.
    pub fn run<T: Task>(self, task: T) -> T::Output {
        match self {
            Self::F32(arch) => arch.dispatch(Single(task)),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(pairs) => pairs.run(task),
        }
    }
}

/// A task on words of one f32.
struct Single<T>(T);

impl<T: Task> WithSimd for Single<T> {
    type Output = T::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> T::Output {
        self.0.run(simd, F32)
    }
}

/// One f32 a word.
#[derive(Clone, Copy)]
struct F32;

impl<S: Simd> Arithmetic<S> for F32 {
    const TOKENS: usize = 1;

    #[inline(always)]
    fn decode(self, element: ElementType, [token, _]: [&[u8]; 2], words: &mut [f32]) {
        element.decode(token, words);
    }

    #[inline(always)]
    fn multiply_add(self, simd: S, x: S::f32s, y: S::f32s, sum: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(x, y, sum)
    }
}
