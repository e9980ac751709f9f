//! How precise products are.

/// How precise a cross product is. Its sums are taken in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Products of operands as they are.
    #[default]
    F32,
    /// Both operands may be rounded to bf16, 8 significant bits, where that is faster: on the CPU with AMX. The error of a sum
    /// of n products of about one size is some 0.002/√n of it.
    Bf16,
}
