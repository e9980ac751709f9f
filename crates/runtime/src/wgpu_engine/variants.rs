//! Which variant of a kernel a device runs.

use std::collections::HashMap;
use std::sync::Mutex;

use unmix_kernels::{ElementType, KERNELS, Kernel, Offer, Precision, Variant};

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

/// Qualcomm's number as a maker of PCI devices.
const QUALCOMM: u32 = 0x5143;

/// The offer of a device with these features and limits. `matrices` is what its adapter says of cooperative matrices.
pub(super) fn offer(
    features: wgpu::Features,
    limits: &wgpu::Limits,
    info: &wgpu::AdapterInfo,
    matrices: &[wgpu::CooperativeMatrixProperties],
) -> Offer {
    let cooperative = features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
    let is_metal = info.backend == wgpu::Backend::Metal;
    Offer {
        threads: limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x),
        workgroup_bytes: limits.max_compute_workgroup_storage_size,
        sixteen_bits: features.contains(wgpu::Features::SHADER_F16 | wgpu::Features::SHADER_I16),
        subgroups: features.contains(wgpu::Features::SUBGROUP),
        // Metal says 4 to 64 of every GPU; Apple's have 32. Vulkan drivers that have a choice, such as Mesa's for AMD,
        // take the largest where cooperative matrices are used.
        usual_subgroup: if is_metal { 32 } else { info.subgroup_max_size },
        cooperative_matrices: matrices.iter().filter(|_| cooperative).filter_map(usable_size).collect(),
        // Apple's GPUs multiply matrices on the same units as everything else. Software renderers do so too, but they are there for tests,
        // and do what a GPU would do.
        fast_matrices: !is_metal,
        few_registers: is_metal || info.vendor == QUALCOMM,
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
        Variants { preferred, ..Variants::new(Offer::PORTABLE) }
    }

    /// The variants that the device can run, in the order of preference.
    pub fn offered(&self, kernel: &Kernel, element: ElementType) -> Vec<&'static Variant> {
        self.offer.variants(kernel, element)
    }

    /// The variant to run for a dispatch of this extent that allows this precision. `passes` tries a variant on cooperative matrices out,
    /// once for each.
    pub fn choose(
        &self,
        kernel: &Kernel,
        element: ElementType,
        precision: Precision,
        extent: [u32; 3],
        passes: impl Fn(&'static Variant) -> bool,
    ) -> Option<&'static Variant> {
        let preferred = lock(&self.preferred).get(&(kernel.name, element)).copied();
        // Held during a trial, so that no two threads try the same variant.
        let trusted = |variant: &'static Variant| {
            *lock(&self.tried).entry((kernel.name, element, variant.name)).or_insert_with(|| passes(variant))
        };
        preferred.or_else(|| self.offer.choose(kernel, element, precision, extent, trusted))
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
        let operands = || kernel.elements().iter().filter(|operand| element.is_none_or(|only| only == **operand));
        let mut found = false;
        for &operand in operands() {
            if let Some(offered) = self.offered(kernel, operand).into_iter().find(|offered| offered.name == variant) {
                lock(&self.preferred).insert((kernel.name, operand), offered);
                found = true;
            }
        }
        if found {
            return Ok(());
        }
        let mut names: Vec<_> =
            operands().flat_map(|operand| self.offered(kernel, *operand)).map(|offered| offered.name).collect();
        names.sort_unstable();
        names.dedup();
        let on = element.map_or_else(String::new, |element| format!(" on {element}"));
        let what = match kernel.variants.iter().any(|known| known.name == variant) {
            true => format!("what variant `{variant}` of kernel `{}`{on} needs", kernel.name),
            false => format!("a variant `{variant}` of kernel `{}`{on}, of which there is none", kernel.name),
        };
        Err(format!("{what}; it can run {}", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use unmix_kernels::{CpuTwin, Needs};

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
        twin: CpuTwin::Alone(|_, _| ()),
    };

    const fn cooperative(name: &'static str, size: u32, subgroup: u32) -> Variant {
        Variant {
            name,
            elements: &[ElementType::F16],
            needs: Needs {
                sixteen_bits: true,
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
        let all = wgpu::Features::SHADER_F16
            | wgpu::Features::SHADER_I16
            | wgpu::Features::SUBGROUP
            | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let mut limits = wgpu::Limits::default();
        let vulkan = |sizes| info(wgpu::Backend::Vulkan, sizes);
        let sixteen = [matrix([16, 16, 8], F16), matrix([16; 3], F32), matrix([16; 3], F16)];

        let none = offer(wgpu::Features::empty(), &limits, &vulkan((32, 32)), &sixteen);
        assert_eq!(names(&none, ElementType::F16), ["portable"]);
        // A 32-lane device, one with a choice, and Apple's, of which Metal tells nothing.
        let narrow = offer(all, &limits, &vulkan((32, 32)), &sixteen);
        assert_eq!(names(&narrow, ElementType::F16), ["matrix_16_narrow", "portable", "matrix_16"]);
        assert_eq!(names(&narrow, ElementType::F32), ["portable"]);
        // Matrices must have passed their trial.
        let chosen = |trusted| {
            let extent = [1 << 20, 1, 1];
            narrow.choose(&KERNEL, ElementType::F16, Precision::F32, extent, |_| trusted).unwrap().name
        };
        assert_eq!((chosen(true), chosen(false)), ("matrix_16_narrow", "portable"));
        let wide = offer(all, &limits, &vulkan((32, 64)), &sixteen);
        assert_eq!(names(&wide, ElementType::F16), ["matrix_16", "portable", "matrix_16_narrow"]);
        let apple = offer(all, &limits, &info(wgpu::Backend::Metal, (4, 64)), &[matrix([8; 3], F16)]);
        assert_eq!(names(&apple, ElementType::F16), ["matrix_8", "portable"]);
        // The types of the matrices count, and so does whether the device was opened with them.
        let f32_only = offer(all, &limits, &vulkan((32, 32)), &sixteen[..2]);
        assert_eq!(names(&f32_only, ElementType::F16), ["portable"]);
        let unopened = all - wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let unopened = offer(unopened, &limits, &vulkan((32, 32)), &sixteen);
        assert_eq!(names(&unopened, ElementType::F16), ["portable"]);

        limits.max_compute_workgroup_storage_size = 32 << 10;
        let roomy = offer(wgpu::Features::empty(), &limits, &vulkan((32, 32)), &[]);
        assert_eq!(names(&roomy, ElementType::Bf16), ["large", "portable"]);
    }

    #[test]
    fn devices_on_metal_and_those_of_qualcomm_have_few_registers() {
        let limits = wgpu::Limits::default();
        let of = |info: &wgpu::AdapterInfo| offer(wgpu::Features::empty(), &limits, info, &[]);
        let vulkan = |vendor| wgpu::AdapterInfo { vendor, ..info(wgpu::Backend::Vulkan, (32, 64)) };
        let metal = of(&info(wgpu::Backend::Metal, (4, 64)));
        assert!(metal.few_registers && !metal.fast_matrices);
        assert!(of(&vulkan(QUALCOMM)).few_registers);
        let nvidia = of(&vulkan(0x10de));
        assert!(!nvidia.few_registers && nvidia.fast_matrices);
    }

    #[test]
    fn a_variant_is_tried_once_and_passed_over_if_it_fails() {
        use wgpu::CooperativeScalarType::F16;
        let features = wgpu::Features::SHADER_F16
            | wgpu::Features::SHADER_I16
            | wgpu::Features::SUBGROUP
            | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let (limits, info) = (wgpu::Limits::default(), info(wgpu::Backend::Vulkan, (32, 32)));
        for (passes, expected) in [(true, "matrix_16_narrow"), (false, "portable")] {
            let variants = Variants::new(offer(features, &limits, &info, &[matrix([16; 3], F16)]));
            let tried = Mutex::new(Vec::new());
            let name = |element| {
                let outcome = |variant: &'static Variant| {
                    lock(&tried).push(variant.name);
                    passes
                };
                variants.choose(&KERNEL, element, Precision::F32, [1 << 20, 1, 1], outcome).unwrap().name
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
        let variants = Variants::new(offer(wgpu::Features::empty(), &limits, &info, &[]));
        let kernel = KERNELS.iter().find(|kernel| kernel.name == "cross_product").unwrap();
        let last = variants.offered(kernel, ElementType::F16).last().unwrap().name;
        let prefer = |text: &str| variants.prefer(&Preference::parse_list(text).unwrap()[0]);
        prefer(&format!("cross_product/f16={last}")).unwrap();
        let large = [1 << 20, 1 << 20, 1];
        assert_eq!(variants.choose(kernel, ElementType::F16, Precision::F32, large, |_| true).unwrap().name, last);
        let first = variants.offered(kernel, ElementType::F32)[0].name;
        assert_eq!(variants.choose(kernel, ElementType::F32, Precision::F32, large, |_| true).unwrap().name, first);
        let error = prefer("cross_product/bf16=nonsense").unwrap_err();
        assert!(error.contains("`nonsense`") && error.contains("bf16") && error.contains(last), "{error}");
        assert!(prefer("nonsense=portable").unwrap_err().contains("kernel `nonsense`"));
        assert_eq!(Preference::parse_list(" a=b, a/f17=b").unwrap_err(), "a/f17=b");
        assert_eq!(Preference::parse_list("").unwrap(), []);
    }
}
