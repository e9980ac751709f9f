//! Which instructions multiply.

/// Instructions beyond those of f32 vectors on which dense products can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductInstructions {
    /// Tiles of Intel's Advanced Matrix Extensions, for all operands. They are used if the processor has them, the system
    /// lets this process use them, and `UNMIX_AMX` is not `0`.
    Amx,
    /// Vectors of bf16 pairs, for operands that may be rounded. They are not used on Intel's processors, which multiply
    /// such pairs more slowly than f32.
    Avx512Bf16,
    /// Vectors of f16, for operands that may be rounded.
    Avx512Fp16,
}

impl ProductInstructions {
    /// The name of the processor's extension.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amx => "AMX",
            Self::Avx512Bf16 => "AVX512-BF16",
            Self::Avx512Fp16 => "AVX512-FP16",
        }
    }
}
