//! What a dispatch promises about its operands and its result, so that an engine may take a faster way.

/// How precise the products of a sum are. The sum itself is taken in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Operands are multiplied as they are.
    #[default]
    F32,
    /// Coefficients may be rounded to 11 bits, as many as f16 has, where that is faster: on GPUs with cooperative matrices. The error of a
    /// sum of n products of about one size is about 0.0002/√n of the sum.
    F16,
    /// Both operands may be rounded to bf16, which has 8 significant bits, or to more bits, where that is faster: on the CPU with AMX,
    /// AVX512-BF16 (but for Intel's) or AVX512-FP16, on GPUs with cooperative matrices. The error of a sum of n products of about one size is about 0.002/√n of the sum.
    Bf16,
}

/// What an engine may rely on or leave out. The default promises nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// How precise the products must be.
    pub precision: Precision,
    /// Whether the result is a symmetric matrix, so that half of it is enough work.
    pub symmetric: bool,
}
