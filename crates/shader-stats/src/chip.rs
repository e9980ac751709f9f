//! The chips that kernels are compiled for, and the peak rates of their compute units.

use unmix_kernels::Needs;

/// A chip for which RADV has a null device.
pub struct Chip {
    /// RADV's name for it, which is also part of the device's name.
    pub family: &'static str,
    /// A product with this chip.
    pub product: &'static str,
    /// Threads that a vector instruction of a SIMD covers in one cycle.
    pub width: u32,
    /// f32 operations of a SIMD in one cycle. A multiply-add counts as two.
    pub peak: u32,
    /// The same for its matrix instructions (f16 operands, f32 sums). 0 if it has none.
    pub matrix_peak: u32,
    /// The size of its cooperative matrices.
    pub matrix_size: Option<u32>,
}

/// All chips: one with matrix instructions and one without.
pub const CHIPS: [Chip; 2] = [
    // In one cycle, RDNA 3 issues two f32 instructions of a subgroup of 32, or both halves of one of a subgroup of 64.
    Chip {
        family: "navi31",
        product: "Radeon RX 7900 XTX",
        width: 64,
        peak: 128,
        matrix_peak: 256,
        matrix_size: Some(16),
    },
    Chip { family: "navi21", product: "Radeon RX 6900 XT", width: 32, peak: 64, matrix_peak: 0, matrix_size: None },
];

/// Cycles of a matrix instruction.
pub const MATRIX_CYCLES: u32 = 32;
/// Operations of a matrix instruction: 16 × 16 × 16 multiply-adds.
pub const MATRIX_FLOPS: u32 = 2 * 16 * 16 * 16;

/// Workgroup memory of a workgroup on each of these chips, according to Vulkan.
const WORKGROUP_BYTES: u32 = 64 << 10;

impl Chip {
    /// Whether a variant with such needs can be compiled for the chip. All chips have f16, subgroups and 1,024 threads.
    pub fn can_run(&self, needs: &Needs) -> bool {
        let has_matrices = needs.cooperative_matrix.is_none() || needs.cooperative_matrix == self.matrix_size;
        // Both have subgroups of 32 and of 64 threads.
        let has_subgroups = needs.subgroup_size.is_none_or(|size| size == 32 || size == 64);
        has_matrices && has_subgroups && needs.workgroup_bytes <= WORKGROUP_BYTES && needs.threads <= 1024
    }

    /// Cycles of a vector instruction of a whole subgroup.
    pub fn vector_cycles(&self, subgroup_size: u32) -> u32 {
        subgroup_size.div_ceil(self.width).max(1)
    }
}
