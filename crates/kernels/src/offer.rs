//! What a device offers to the variants of kernels, and which one it runs.

use crate::{ElementType, Kernel, Needs, Precision, Variant};

/// What a device offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Most invocations in a workgroup.
    pub threads: u32,
    /// Most bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Whether shaders may compute in f16 and in integers of 16 bits.
    pub sixteen_bits: bool,
    /// Whether shaders may use subgroup operations.
    pub subgroups: bool,
    /// The size that a subgroup usually has.
    pub usual_subgroup: u32,
    /// Sizes N of the cooperative matrices N × N × N that multiply f16 into f32 sums.
    pub cooperative_matrices: Vec<u32>,
    /// Whether cooperative matrices multiply f16 faster than the device multiplies f32 without them.
    pub fast_matrices: bool,
    /// Whether few threads fit on a core if each keeps many sums in registers.
    pub few_registers: bool,
}

/// Sums that a thread may keep on a device with few registers. With 64, as in the widest tile, an Apple M1 holds 384 threads
/// a core, and an Adreno 750 holds 256. With 16 they hold 832 and 512.
const SUMS_IN_FEW_REGISTERS: u32 = 16;

impl Offer {
    /// What every WebGPU device offers.
    pub const PORTABLE: Offer = Offer {
        threads: Needs::PORTABLE.threads,
        workgroup_bytes: Needs::PORTABLE.workgroup_bytes,
        sixteen_bits: false,
        subgroups: false,
        usual_subgroup: 0,
        cooperative_matrices: Vec::new(),
        fast_matrices: false,
        few_registers: false,
    };

    /// Whether the device can run a variant. Where registers are few, a driver may refuse a pipeline of more threads than every device
    /// must have.
    fn suffices(&self, variant: &Variant) -> bool {
        let needs = &variant.needs;
        let threads = if self.few_registers { self.threads.min(Self::PORTABLE.threads) } else { self.threads };
        needs.threads <= threads
            && needs.workgroup_bytes <= self.workgroup_bytes
            && (self.sixteen_bits || !needs.sixteen_bits)
            && (self.subgroups || needs.subgroup_size.is_none())
            && needs.cooperative_matrix.is_none_or(|size| self.cooperative_matrices.contains(&size))
    }

    /// Whether a variant's workgroup is made for subgroups, and for registers, as the device has them.
    fn suits(&self, variant: &Variant) -> bool {
        let needs_many = variant.needs.many_registers || variant.sums_of_a_thread() > SUMS_IN_FEW_REGISTERS;
        let has_registers = !(self.few_registers && needs_many);
        variant.needs.subgroup_size.is_none_or(|size| size == self.usual_subgroup) && has_registers
    }

    /// The variants of `kernel` that the device can run on operands of type `element`, in the order of preference.
    pub fn variants(&self, kernel: &Kernel, element: ElementType) -> Vec<&'static Variant> {
        let (suiting, others): (Vec<_>, Vec<_>) = kernel
            .variants_for(element)
            .filter(|variant| self.suffices(variant))
            .partition(|variant| self.suits(variant));
        suiting.into_iter().chain(others).collect()
    }

    /// The variant for a dispatch of this extent that allows this precision. It is the first variant that suits the device and makes
    /// enough workgroups, or else the one that makes most. A variant on cooperative matrices must be `trusted` too. Where such matrices
    /// are no faster, two products of halves take longer than one of f32, so that only rounded products are worth it.
    pub fn choose(
        &self,
        kernel: &Kernel,
        element: ElementType,
        precision: Precision,
        extent: [u32; 3],
        mut trusted: impl FnMut(&'static Variant) -> bool,
    ) -> Option<&'static Variant> {
        let is_worth_it = |variant: &Variant| {
            variant.needs.cooperative_matrix.is_none()
                || self.fast_matrices
                || variant.precision(precision) != Precision::F32
        };
        let mut suiting = self.variants(kernel, element);
        suiting.retain(|variant| self.suits(variant) && is_worth_it(variant));
        loop {
            let chosen = Variant::filling(&suiting, extent)?;
            if chosen.needs.cooperative_matrix.is_none() || trusted(chosen) {
                return Some(chosen);
            }
            suiting.retain(|variant| variant.name != chosen.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        CHOLESKY, CROSS_PRODUCT, CpuTwin, HALS_COEFFICIENTS, HALS_FEATURES, PROJECTION, SPARSE_PROJECTION,
        TRIANGULAR_SOLVE,
    };

    const LARGE: [u32; 3] = [1 << 14, 1 << 14, 1];

    fn name(offer: &Offer, precision: Precision) -> &'static str {
        offer.choose(&CROSS_PRODUCT, ElementType::F16, precision, LARGE, |_| true).unwrap().name
    }

    #[test]
    fn a_tile_that_covers_much_more_than_there_is_gives_way_to_a_smaller_one() {
        let offer = Offer { threads: 1024, workgroup_bytes: 48 << 10, ..Offer::PORTABLE };
        let chosen = |extent| {
            let variant = offer.choose(&CROSS_PRODUCT, ElementType::F32, Precision::F32, extent, |_| true);
            variant.unwrap().name
        };
        // 512 × 512 results are covered for 400 × 400, or 448 × 448.
        assert_eq!(chosen([400, 400, 30]), "tile_64");
        assert_eq!(chosen([384, 384, 30]), "tile_128");
        assert_eq!(chosen([14_336, 400, 1]), "tile_128");
        // Neither makes enough workgroups.
        assert_eq!(chosen([130, 130, 1]), "tile_64");
    }

    #[test]
    fn a_tall_tile_on_matrices_gives_way_where_a_wide_one_covers_less() {
        let nvidia = Offer {
            threads: 1024,
            workgroup_bytes: 48 << 10,
            sixteen_bits: true,
            subgroups: true,
            usual_subgroup: 32,
            cooperative_matrices: vec![16],
            fast_matrices: true,
            ..Offer::PORTABLE
        };
        let chosen = |extent| {
            let variant = nvidia.choose(&CROSS_PRODUCT, ElementType::F16, Precision::F32, extent, |_| true);
            variant.unwrap().name
        };
        // 448 × 14,336 results are covered for 400, by either.
        assert_eq!(chosen([14_336, 400, 1]), "cooperative_16_subgroup_32_tall");
        assert_eq!(chosen([14_336, 100, 4]), "cooperative_16_subgroup_32_tall");
        // 224 features are covered for 128.
        assert_eq!(chosen([14_336, 128, 4]), "cooperative_16_subgroup_32");
        // It makes too few workgroups.
        assert_eq!(chosen([14_336, 100, 3]), "cooperative_16_subgroup_32");
    }

    #[test]
    fn a_small_dispatch_gets_the_smaller_tile() {
        static TILED: Kernel = Kernel {
            name: "tiled",
            access: &[],
            params_size: 0,
            reads_elements: false,
            variants: &[
                Variant { name: "large", tile: [128, 128, 1], ..Variant::PORTABLE },
                Variant { name: "small", tile: [64, 64, 1], ..Variant::PORTABLE },
                // Only for who asks for it.
                Variant {
                    name: "narrow",
                    tile: [8, 8, 1],
                    needs: Needs { subgroup_size: Some(32), ..Needs::PORTABLE },
                    ..Variant::PORTABLE
                },
            ],
            twin: CpuTwin::Alone(|_, _| ()),
        };
        let offer = Offer { subgroups: true, usual_subgroup: 64, ..Offer::PORTABLE };
        let chosen = |extent| {
            offer
                .choose(&TILED, ElementType::F32, Precision::F32, extent, |_| unreachable!("no matrices"))
                .unwrap()
                .name
        };
        assert_eq!(chosen([2048, 2048, 1]), "large");
        assert_eq!(chosen([2048, 100, 16]), "large");
        assert_eq!(chosen([2048, 1920, 1]), "small");
        assert_eq!(chosen([1, 1, 1]), "large");
    }

    #[test]
    fn a_device_with_few_registers_gets_the_smaller_tile() {
        for kernel in [&CROSS_PRODUCT, &PROJECTION] {
            for (few_registers, tile) in [(true, [64, 64, 1]), (false, [128, 128, 1])] {
                let offer = Offer { few_registers, ..Offer::PORTABLE };
                let chosen = offer.choose(kernel, ElementType::F16, Precision::F32, LARGE, |_| true).unwrap();
                assert_eq!(chosen.tile, tile, "{}", kernel.name);
            }
        }
    }

    #[test]
    fn a_device_with_few_registers_gets_kernels_that_keep_less_in_them() {
        for (kernel, with_many, with_few) in [
            (&CHOLESKY, "sixteen_loads", "eight_loads"),
            (&HALS_COEFFICIENTS, "four_items", "two_items"),
            (&TRIANGULAR_SOLVE, "four_items", "two_items"),
        ] {
            for (few_registers, name) in [(false, with_many), (true, with_few)] {
                let offer = Offer { few_registers, ..Offer::PORTABLE };
                let chosen = offer.choose(kernel, ElementType::F32, Precision::F32, [118, 1, 1], |_| true).unwrap();
                assert_eq!(chosen.name, name, "{}", kernel.name);
            }
        }
    }

    #[test]
    fn a_single_workgroup_gets_more_threads_where_they_have_registers() {
        let chosen = |threads, workgroup_bytes, few_registers| {
            let offer = Offer { threads, workgroup_bytes, few_registers, ..Offer::PORTABLE };
            let variant = offer.choose(&HALS_FEATURES, ElementType::F32, Precision::F32, [1; 3], |_| true);
            variant.unwrap().name
        };
        assert_eq!(chosen(1024, 32 << 10, false), "threads_512");
        assert_eq!(chosen(1024, 32 << 10, true), "portable");
        assert_eq!(chosen(256, 32 << 10, false), "portable");
        assert_eq!(chosen(1024, 16 << 10, false), "portable");
    }

    #[test]
    fn a_sparse_projection_gets_512_threads_where_few_of_them_are_without_a_feature() {
        let nvidia =
            Offer { threads: 1024, workgroup_bytes: 48 << 10, subgroups: true, usual_subgroup: 32, ..Offer::PORTABLE };
        let chosen = |offer: &Offer, rank| {
            let extent = [rank, 469, 1];
            let variant = offer.choose(&SPARSE_PROJECTION, ElementType::F16, Precision::F32, extent, |_| true);
            variant.unwrap().name
        };
        assert_eq!(chosen(&nvidia, 400), "neurons_1536");
        assert_eq!(chosen(&nvidia, 100), "neurons_768");
        // 1,024 threads for 520 features, or 768.
        assert_eq!(chosen(&nvidia, 520), "neurons_768");
        assert_eq!(chosen(&Offer { usual_subgroup: 64, ..nvidia.clone() }, 400), "portable");
        assert_eq!(chosen(&Offer { few_registers: true, ..nvidia.clone() }, 400), "neurons_768");
        // Segments are as long as workgroup memory allows.
        assert_eq!(chosen(&Offer { workgroup_bytes: 32 << 10, ..nvidia.clone() }, 400), "threads_512");
        assert_eq!(chosen(&Offer { workgroup_bytes: 16 << 10, ..nvidia }, 400), "subgroup_32");
    }

    #[test]
    fn matrices_are_chosen_for_the_subgroups_of_the_device_if_they_are_trusted_and_worth_it() {
        let with = |size, usual_subgroup, fast_matrices| Offer {
            workgroup_bytes: 48 << 10,
            sixteen_bits: true,
            subgroups: true,
            usual_subgroup,
            cooperative_matrices: vec![size],
            fast_matrices,
            ..Offer::PORTABLE
        };
        let nvidia = with(16, 32, true);
        assert_eq!(name(&nvidia, Precision::F32), "cooperative_16_subgroup_32_tall");
        assert_eq!(name(&nvidia, Precision::Bf16), "cooperative_16_subgroup_32_tall");
        let with_less_memory = Offer { workgroup_bytes: 32 << 10, ..nvidia.clone() };
        assert_eq!(name(&with_less_memory, Precision::F32), "cooperative_16_subgroup_32_narrow");
        assert_eq!(name(&with(16, 64, true), Precision::F32), "cooperative_16_subgroup_64");
        let apple = Offer { few_registers: true, ..with(8, 32, false) };
        assert_eq!(name(&apple, Precision::F32), "tile_64");
        assert_eq!(name(&apple, Precision::Bf16), "cooperative_8_subgroup_32");
        let chosen = nvidia.choose(&CROSS_PRODUCT, ElementType::F16, Precision::F32, LARGE, |_| false).unwrap();
        assert_eq!(chosen.name, "tile_128", "what is not trusted is passed over");
        let chosen = nvidia.choose(&CROSS_PRODUCT, ElementType::F32, Precision::F32, LARGE, |_| true).unwrap();
        assert_eq!(chosen.name, "tile_128", "f32 activations");
    }
}
