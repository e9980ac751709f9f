//! What a dense product on vectors packs: words of 32 bits. A word has one number, or two numbers that are rounded:
//! those of two tokens in bf16, or of two neurons in f16. Some processors multiply such pairs as fast as single f32.

use pulp::{Arch, Simd, WithSimd};

#[cfg(target_arch = "x86_64")]
use super::bf16_pairs::Bf16Pairs;
#[cfg(target_arch = "x86_64")]
use super::f16_pairs::F16Pairs;
use super::product_instructions::ProductInstructions;
use super::vectors::arch;
use crate::ElementType;

/// How words are packed and multiplied. `S` has the vectors.
pub(super) trait Arithmetic<S: Simd>: Copy {
    /// Tokens of a word.
    const TOKENS: usize;
    /// Neurons of a word of X. A word of Y has as many copies of a coefficient.
    const NEURONS: usize = 1;
    /// Words of a block for each neuron. A strip of X stays in the first-level cache while the tiles of Y pass by.
    const BLOCK: usize = 256;
    /// Words of a run. Its products are summed one after the other, then come the sums of all runs of a block, and then
    /// those of all blocks, which are f32.
    const RUN: usize = Self::BLOCK;
    /// If words do not have the range of f32: numbers are packed times a power of two that brings them below two to this
    /// power.
    const TOP: Option<i32> = None;

    /// Decodes the activations of as many tokens as a word has, and packs them, times the factors of the neurons if they
    /// have any. A second token that is not there is empty, and counts as zeros.
    fn activations(self, element: ElementType, tokens: [&[u8]; 2], factors: &[f32], words: &mut [f32]);

    /// Packs the coefficients of as many tokens as a word has, times the factors of the features if they have any.
    #[inline(always)]
    fn coefficients(self, tokens: [&[f32]; 2], factors: &[f32], words: &mut [f32]) {
        self.activations(ElementType::F32, tokens.map(bytemuck::cast_slice), factors, words);
    }

    /// sum + the products of words.
    fn multiply_add(self, simd: S, x: S::f32s, y: S::f32s, sum: S::f32s) -> S::f32s;

    /// The sum of two sums.
    #[inline(always)]
    fn add(self, simd: S, first: S::f32s, second: S::f32s) -> S::f32s {
        simd.add_f32s(first, second)
    }

    /// Adds sums to `out`, times what undoes the factors of the neurons if they have any.
    #[inline(always)]
    fn add_to(self, simd: S, sums: S::f32s, _undo: &[f32], out: &mut [f32]) {
        let (out, _) = S::as_mut_simd_f32s(out);
        out[0] = simd.add_f32s(out[0], sums);
    }
}

/// What runs with some vectors and some arithmetic.
pub(super) trait Task {
    type Output;

    fn run<S: Simd, A: Arithmetic<S>>(self, simd: S, arithmetic: A) -> Self::Output;
}

/// What is packed in words, as [`Arithmetic`] says.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub tokens: usize,
    pub neurons: usize,
    pub block: usize,
    pub top: Option<i32>,
}

/// Finds the shape.
struct FindShape;

impl Task for FindShape {
    type Output = Shape;

    #[inline(always)]
    fn run<S: Simd, A: Arithmetic<S>>(self, _: S, _: A) -> Shape {
        Shape { tokens: A::TOKENS, neurons: A::NEURONS, block: A::BLOCK, top: A::TOP }
    }
}

/// The instructions of this processor for one kind of words.
#[derive(Clone, Copy)]
pub(super) enum Processor {
    F32(Arch),
    #[cfg(target_arch = "x86_64")]
    Bf16(Bf16Pairs),
    #[cfg(target_arch = "x86_64")]
    F16(F16Pairs),
}

impl Processor {
    /// Multiplies f32.
    pub fn f32() -> Self {
        Self::F32(arch())
    }

    /// Rounds operands, if this processor multiplies rounded ones faster than f32, and vectors are not restricted.
    pub fn rounding() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return Bf16Pairs::if_fast().map(Self::Bf16).or_else(|| F16Pairs::new().map(Self::F16));
        #[cfg(not(target_arch = "x86_64"))]
        None
    }

    /// The instructions, if they are more than those for f32.
    pub fn instructions(self) -> Option<ProductInstructions> {
        match self {
            Self::F32(_) => None,
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(_) => Some(ProductInstructions::Avx512Bf16),
            #[cfg(target_arch = "x86_64")]
            Self::F16(_) => Some(ProductInstructions::Avx512Fp16),
        }
    }

    /// What its words are.
    pub fn shape(self) -> Shape {
        self.run(FindShape)
    }

    /// Runs `task`, which is compiled for the instructions.
    pub fn run<T: Task>(self, task: T) -> T::Output {
        match self {
            Self::F32(arch) => arch.dispatch(Single(task)),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16(pairs) => pairs.run(task),
            #[cfg(target_arch = "x86_64")]
            Self::F16(pairs) => pairs.run(task),
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
    fn activations(self, element: ElementType, [token, _]: [&[u8]; 2], _: &[f32], words: &mut [f32]) {
        element.decode(token, words);
    }

    #[inline(always)]
    fn multiply_add(self, simd: S, x: S::f32s, y: S::f32s, sum: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(x, y, sum)
    }
}
