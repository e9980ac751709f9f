//! Which variant of a kernel a device runs.

use std::collections::HashMap;
use std::sync::Mutex;

use unmix_kernels::{ElementType, KERNELS, Kernel, Variant};

use crate::lock::lock;

/// A variant to be taken instead of the one that the engine would take, for example because it was measured to be faster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    /// Name of the kernel.
    pub kernel: String,
    /// For operands of this type alone; `None`: of every type that the variant reads.
    pub element: Option<ElementType>,
    /// Name of the variant.
    pub variant: String,
}

impl Preference {
    /// Preferences as written in `UNMIX_VARIANTS`: `KERNEL=VARIANT` or `KERNEL/ELEMENT=VARIANT`, with commas between them.
    ///
    /// # Errors
    /// The part that is not of that form.
    pub fn parse_list(text: &str) -> Result<Vec<Preference>, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| Self::parse(part).ok_or_else(|| part.to_owned())).collect()
    }

    fn parse(text: &str) -> Option<Preference> {
        let (kernel, variant) = text.split_once('=')?;
        let (kernel, element) = match kernel.split_once('/') {
            Some((kernel, element)) => (kernel, Some(ElementType::ALL.into_iter().find(|e| e.name() == element)?)),
            None => (kernel, None),
        };
        Some(Preference { kernel: kernel.to_owned(), element, variant: variant.to_owned() })
    }
}

/// What a device offers to variants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    threads: u32,
    workgroup_bytes: u32,
    shader_f16: bool,
    subgroups: bool,
    /// The size that a subgroup usually has.
    usual_subgroup: u32,
    /// Sizes N of the cooperative matrices N × N × N that multiply f16 into f32 sums.
    cooperative_matrices: Vec<u32>,
    /// Whether few threads fit on a core if each keeps many sums in registers.
    few_registers: bool,
}

/// Sums that a thread may keep on a device with few registers. With 64, as in the widest tile, an Apple M1 holds 384 threads
/// a core, and an Adreno 750 holds 256. With 16 they hold 832 and 512.
const SUMS_IN_FEW_REGISTERS: u32 = 16;

/// Qualcomm's number as a maker of PCI devices.
const QUALCOMM: u32 = 0x5143;

impl Offer {
    /// The offer of a device with these features and limits. `matrices` is what its adapter says of cooperative matrices.
    pub fn new(
        features: wgpu::Features,
        limits: &wgpu::Limits,
        info: &wgpu::AdapterInfo,
        matrices: &[wgpu::CooperativeMatrixProperties],
    ) -> Self {
        let cooperative = features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
        Offer {
            threads: limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x),
            workgroup_bytes: limits.max_compute_workgroup_storage_size,
            shader_f16: features.contains(wgpu::Features::SHADER_F16),
            subgroups: features.contains(wgpu::Features::SUBGROUP),
            // Metal says 4 to 64 of every GPU; Apple's have 32. Vulkan drivers that have a choice, such as Mesa's for AMD,
            // take the largest where cooperative matrices are used.
            usual_subgroup: if info.backend == wgpu::Backend::Metal { 32 } else { info.subgroup_max_size },
            cooperative_matrices: matrices.iter().filter(|_| cooperative).filter_map(usable_size).collect(),
            few_registers: info.backend == wgpu::Backend::Metal || info.vendor == QUALCOMM,
        }
    }

    /// The offer of no device.
    fn nothing() -> Self {
        Offer {
            threads: 0,
            workgroup_bytes: 0,
            shader_f16: false,
            subgroups: false,
            usual_subgroup: 0,
            cooperative_matrices: Vec::new(),
            few_registers: false,
        }
    }

    /// Whether the device can run a variant.
    fn suffices(&self, variant: &Variant) -> bool {
        let needs = &variant.needs;
        needs.threads <= self.threads
            && needs.workgroup_bytes <= self.workgroup_bytes
            && (self.shader_f16 || !needs.shader_f16)
            && (self.subgroups || needs.subgroup_size.is_none())
            && needs.cooperative_matrix.is_none_or(|size| self.cooperative_matrices.contains(&size))
    }

    /// Whether a variant's workgroup is made for subgroups, and for registers, as the device has them.
    fn suits(&self, variant: &Variant) -> bool {
        let has_registers = !self.few_registers || variant.sums_of_a_thread() <= SUMS_IN_FEW_REGISTERS;
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

    /// The variant for a dispatch of this extent. It is the first variant that suits the device and makes enough workgroups, or else the
    /// one that makes most. A variant on cooperative matrices must be `trusted` too.
    fn choose(
        &self,
        kernel: &Kernel,
        element: ElementType,
        extent: [u32; 3],
        mut trusted: impl FnMut(&'static Variant) -> bool,
    ) -> Option<&'static Variant> {
        let mut suiting = self.variants(kernel, element);
        suiting.retain(|variant| self.suits(variant));
        loop {
            let chosen = Variant::filling(&suiting, extent)?;
            if chosen.needs.cooperative_matrix.is_none() || trusted(chosen) {
                return Some(chosen);
            }
            suiting.retain(|variant| variant.name != chosen.name);
        }
    }
}

/// N of a usable cooperative matrix.
pub(super) fn usable_size(matrix: &wgpu::CooperativeMatrixProperties) -> Option<u32> {
    let square = matrix.m_size == matrix.n_size && matrix.n_size == matrix.k_size;
    let types = (matrix.ab_type, matrix.cr_type);
    let mixed = types == (wgpu::CooperativeScalarType::F16, wgpu::CooperativeScalarType::F32);
    (square && mixed).then_some(matrix.m_size)
}

/// The choice of variants on one device.
pub(super) struct Variants {
    offer: Offer,
    preferred: Mutex<HashMap<(&'static str, ElementType), &'static Variant>>,
    /// Whether the variants that were tried, by the names of kernel and variant, compute right on the device.
    tried: Mutex<HashMap<(&'static str, ElementType, &'static str), bool>>,
}

impl Variants {
    pub fn new(offer: Offer) -> Self {
        Variants { offer, preferred: Mutex::default(), tried: Mutex::default() }
    }

    /// One variant of one kernel, and nothing else.
    pub fn only(kernel: &Kernel, element: ElementType, variant: &'static Variant) -> Self {
        let preferred = Mutex::new(HashMap::from([((kernel.name, element), variant)]));
        Variants { preferred, ..Variants::new(Offer::nothing()) }
    }

    /// The variants that the device can run, in the order of preference.
    pub fn offered(&self, kernel: &Kernel, element: ElementType) -> Vec<&'static Variant> {
        self.offer.variants(kernel, element)
    }

    /// The variant to run for a dispatch of this extent. `passes` tries a variant on cooperative matrices out, once for each.
    pub fn choose(
        &self,
        kernel: &Kernel,
        element: ElementType,
        extent: [u32; 3],
        passes: impl Fn(&'static Variant) -> bool,
    ) -> Option<&'static Variant> {
        let preferred = lock(&self.preferred).get(&(kernel.name, element)).copied();
        // Held during a trial, so that no two threads try the same variant.
        let trusted = |variant: &'static Variant| {
            *lock(&self.tried).entry((kernel.name, element, variant.name)).or_insert_with(|| passes(variant))
        };
        preferred.or_else(|| self.offer.choose(kernel, element, extent, trusted))
    }

    /// Takes a preferred variant from now on.
    ///
    /// # Errors
    /// What the device lacks, in words.
    pub fn prefer(&self, preference: &Preference) -> Result<(), String> {
        let Preference { kernel, element, variant } = preference;
        let Some(kernel) = KERNELS.iter().find(|known| known.name == kernel) else {
            return Err(format!("a kernel `{kernel}`, for which a variant was asked"));
        };
        let mut found = false;
        for &operand in kernel.elements().iter().filter(|operand| element.is_none_or(|only| only == **operand)) {
            if let Some(offered) = self.offered(kernel, operand).into_iter().find(|offered| offered.name == variant) {
                lock(&self.preferred).insert((kernel.name, operand), offered);
                found = true;
            }
        }
        if found {
            return Ok(());
        }
        let mut names: Vec<_> =
            kernel.elements().iter().flat_map(|e| self.offered(kernel, *e)).map(|offered| offered.name).collect();
        names.sort_unstable();
        names.dedup();
        let operands = element.map_or_else(String::new, |element| format!(" on {element}"));
        Err(format!(
            "what variant `{variant}` of kernel `{}`{operands} needs; it can run {}",
            kernel.name,
            names.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use unmix_kernels::{Memory, Needs};

    use super::*;

    static KERNEL: Kernel = Kernel {
        name: "product",
        access: &[],
        params_size: 0,
        reads_elements: true,
        variants: &[
            cooperative("matrix_16", 16, 64),
            cooperative("matrix_16_narrow", 16, 32),
            cooperative("matrix_8", 8, 32),
            Variant {
                name: "large",
                needs: Needs { workgroup_bytes: 32 << 10, ..Needs::PORTABLE },
                ..Variant::PORTABLE
            },
            Variant::PORTABLE,
        ],
        twin: |_, _: &mut [Memory<'_>]| (),
    };

    const fn cooperative(name: &'static str, size: u32, subgroup: u32) -> Variant {
        Variant {
            name,
            elements: &[ElementType::F16],
            needs: Needs {
                shader_f16: true,
                subgroup_size: Some(subgroup),
                cooperative_matrix: Some(size),
                ..Needs::PORTABLE
            },
            ..Variant::PORTABLE
        }
    }

    fn info(backend: wgpu::Backend, subgroups: (u32, u32)) -> wgpu::AdapterInfo {
        wgpu::AdapterInfo {
            subgroup_min_size: subgroups.0,
            subgroup_max_size: subgroups.1,
            ..wgpu::AdapterInfo::new(wgpu::DeviceType::Other, backend)
        }
    }

    fn matrix(sizes: [u32; 3], ab_type: wgpu::CooperativeScalarType) -> wgpu::CooperativeMatrixProperties {
        let [m_size, n_size, k_size] = sizes;
        let cr_type = wgpu::CooperativeScalarType::F32;
        wgpu::CooperativeMatrixProperties { m_size, n_size, k_size, ab_type, cr_type, saturating_accumulation: false }
    }

    fn names(offer: &Offer, element: ElementType) -> Vec<&'static str> {
        offer.variants(&KERNEL, element).iter().map(|variant| variant.name).collect()
    }

    #[test]
    fn a_device_gets_the_first_variant_that_it_can_run() {
        use wgpu::CooperativeScalarType::{F16, F32};
        let all =
            wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let mut limits = wgpu::Limits::default();
        let vulkan = |sizes| info(wgpu::Backend::Vulkan, sizes);
        let sixteen = [matrix([16, 16, 8], F16), matrix([16; 3], F32), matrix([16; 3], F16)];

        let none = Offer::new(wgpu::Features::empty(), &limits, &vulkan((32, 32)), &sixteen);
        assert_eq!(names(&none, ElementType::F16), ["portable"]);
        // A 32-lane device, one with a choice, and Apple's, of which Metal tells nothing.
        let narrow = Offer::new(all, &limits, &vulkan((32, 32)), &sixteen);
        assert_eq!(names(&narrow, ElementType::F16), ["matrix_16_narrow", "portable", "matrix_16"]);
        assert_eq!(names(&narrow, ElementType::F32), ["portable"]);
        // Matrices must have passed their trial.
        let chosen = |trusted| narrow.choose(&KERNEL, ElementType::F16, [1 << 20, 1, 1], |_| trusted).unwrap().name;
        assert_eq!((chosen(true), chosen(false)), ("matrix_16_narrow", "portable"));
        let wide = Offer::new(all, &limits, &vulkan((32, 64)), &sixteen);
        assert_eq!(names(&wide, ElementType::F16), ["matrix_16", "portable", "matrix_16_narrow"]);
        let apple = Offer::new(all, &limits, &info(wgpu::Backend::Metal, (4, 64)), &[matrix([8; 3], F16)]);
        assert_eq!(names(&apple, ElementType::F16), ["matrix_8", "portable"]);
        // The types of the matrices count, and so does whether the device was opened with them.
        let f32_only = Offer::new(all, &limits, &vulkan((32, 32)), &sixteen[..2]);
        assert_eq!(names(&f32_only, ElementType::F16), ["portable"]);
        let unopened = all - wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let unopened = Offer::new(unopened, &limits, &vulkan((32, 32)), &sixteen);
        assert_eq!(names(&unopened, ElementType::F16), ["portable"]);

        limits.max_compute_workgroup_storage_size = 32 << 10;
        let roomy = Offer::new(wgpu::Features::empty(), &limits, &vulkan((32, 32)), &[]);
        assert_eq!(names(&roomy, ElementType::Bf16), ["large", "portable"]);
    }

    #[test]
    fn a_small_dispatch_gets_the_smaller_tile() {
        let offer =
            Offer::new(wgpu::Features::SUBGROUP, &wgpu::Limits::default(), &info(wgpu::Backend::Vulkan, (32, 64)), &[]);
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
            twin: |_, _: &mut [Memory<'_>]| (),
        };
        let name = |extent| offer.choose(&TILED, ElementType::F32, extent, |_| unreachable!()).unwrap().name;
        assert_eq!(name([2048, 2048, 1]), "large");
        assert_eq!(name([2048, 100, 16]), "large");
        assert_eq!(name([2048, 1920, 1]), "small");
        assert_eq!(name([1, 1, 1]), "large");
    }

    #[test]
    fn a_device_with_few_registers_gets_the_smaller_tile() {
        let limits = wgpu::Limits::default();
        let vulkan = |vendor| wgpu::AdapterInfo { vendor, ..info(wgpu::Backend::Vulkan, (32, 64)) };
        let chosen = |info: &wgpu::AdapterInfo, kernel: &str| {
            let kernel = KERNELS.iter().find(|known| known.name == kernel).unwrap();
            let offer = Offer::new(wgpu::Features::empty(), &limits, info, &[]);
            offer.choose(kernel, ElementType::F16, [1 << 14, 1 << 14, 1], |_| true).unwrap().tile
        };
        for kernel in ["cross_product", "projection"] {
            assert_eq!(chosen(&info(wgpu::Backend::Metal, (4, 64)), kernel), [64, 64, 1], "{kernel}, Apple");
            assert_eq!(chosen(&vulkan(QUALCOMM), kernel), [64, 64, 1], "{kernel}, Qualcomm");
            assert_eq!(chosen(&vulkan(0x10de), kernel), [128, 128, 1], "{kernel}, NVIDIA");
        }
    }

    #[test]
    fn a_variant_is_tried_once_and_passed_over_if_it_fails() {
        use wgpu::CooperativeScalarType::F16;
        let features =
            wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let (limits, info) = (wgpu::Limits::default(), info(wgpu::Backend::Vulkan, (32, 32)));
        for (passes, expected) in [(true, "matrix_16_narrow"), (false, "portable")] {
            let variants = Variants::new(Offer::new(features, &limits, &info, &[matrix([16; 3], F16)]));
            let tried = Mutex::new(Vec::new());
            let name = |element| {
                let outcome = |variant: &'static Variant| {
                    lock(&tried).push(variant.name);
                    passes
                };
                variants.choose(&KERNEL, element, [1 << 20, 1, 1], outcome).unwrap().name
            };
            assert_eq!([ElementType::F16; 3].map(name), [expected; 3]);
            assert_eq!(name(ElementType::F32), "portable");
            assert_eq!(*lock(&tried), ["matrix_16_narrow"]);
        }
    }

    #[test]
    fn a_preference_must_be_one_that_the_device_can_run() {
        let limits = wgpu::Limits::default();
        let info = info(wgpu::Backend::Vulkan, (32, 32));
        let variants = Variants::new(Offer::new(wgpu::Features::empty(), &limits, &info, &[]));
        let kernel = KERNELS.iter().find(|kernel| kernel.name == "cross_product").unwrap();
        let last = variants.offered(kernel, ElementType::F16).last().unwrap().name;
        let prefer = |text: &str| variants.prefer(&Preference::parse_list(text).unwrap()[0]);
        prefer(&format!("cross_product/f16={last}")).unwrap();
        let large = [1 << 20, 1 << 20, 1];
        assert_eq!(variants.choose(kernel, ElementType::F16, large, |_| true).unwrap().name, last);
        let first = variants.offered(kernel, ElementType::F32)[0].name;
        assert_eq!(variants.choose(kernel, ElementType::F32, large, |_| true).unwrap().name, first);
        let error = prefer("cross_product/bf16=nonsense").unwrap_err();
        assert!(error.contains("`nonsense`") && error.contains("bf16") && error.contains(last), "{error}");
        assert!(prefer("nonsense=portable").unwrap_err().contains("kernel `nonsense`"));
        assert_eq!(Preference::parse_list(" a=b, a/f17=b").unwrap_err(), "a/f17=b");
        assert_eq!(Preference::parse_list("").unwrap(), []);
    }
}
