//! The chips that kernels are compiled for: which driver compiles, and what a core of the chip has.

use unmix_kernels::Needs;

/// Mesa's driver for a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// RADV, with ACO. It has a null device for each chip.
    Amd,
    /// NVK, with NAK.
    Nvidia,
    /// Honeykrisp, with AGX.
    Apple,
    /// Turnip, with ir3.
    Adreno,
}

/// How a driver is started without its chip.
pub struct Start {
    /// The driver's manifest begins with this.
    pub manifest: &'static str,
    /// A library that pretends to be the kernel's side of the driver, which is loaded before all others. RADV needs none:
    /// in Mesa 25, it has a null device.
    pub shim: Option<&'static str>,
}

impl Driver {
    /// How it is started.
    pub const fn start(self) -> Start {
        let (manifest, shim) = match self {
            Driver::Amd => ("radeon_icd", None),
            Driver::Nvidia => ("nouveau_icd", Some("libnouveau_noop_drm_shim.so")),
            Driver::Apple => ("asahi_icd", Some("libasahi_noop_drm_shim.so")),
            Driver::Adreno => ("freedreno_icd", Some("libfreedreno_noop_drm_shim.so")),
        };
        Start { manifest, shim }
    }
}

/// The rates of a SIMD, for a model of how its instructions are issued.
pub struct Rates {
    /// Threads that a vector instruction covers in one cycle.
    pub width: u32,
    /// f32 operations in one cycle. A multiply-add counts as two.
    pub peak: u32,
    /// The same for its matrix instructions (f16 operands, f32 sums). 0 if it has none.
    pub matrix_peak: u32,
}

/// Cycles of a matrix instruction.
pub const MATRIX_CYCLES: u32 = 32;
/// Operations of a matrix instruction: 16 × 16 × 16 multiply-adds.
pub const MATRIX_FLOPS: u32 = 2 * 16 * 16 * 16;

/// A chip.
pub struct Chip {
    /// Its name for `--chip`.
    pub name: &'static str,
    /// A product with this chip.
    pub product: &'static str,
    /// The driver that compiles for it.
    pub driver: Driver,
    /// Variables that tell the driver, or its shim, which chip to pretend.
    pub variables: &'static [(&'static str, &'static str)],
    /// Part of the name by which the driver calls the device, in lower case.
    pub device: &'static str,
    /// Sizes that a subgroup can have.
    pub subgroups: &'static [u32],
    /// The size of its cooperative matrices, if wgpu offers them there.
    pub matrix_size: Option<u32>,
    /// Bytes of workgroup memory of a workgroup.
    pub workgroup_bytes: u32,
    /// Bytes of workgroup memory of a core, if it bounds the number of workgroups and the driver does not count it in.
    pub shared_bytes: Option<u32>,
    /// Bytes that each workgroup takes beyond those that it asks for.
    pub reserved_bytes: u32,
    /// Rates of a SIMD, where the assembly is read.
    pub rates: Option<Rates>,
    /// Fewer threads than this on a core do not hide the latency of memory.
    pub least_threads: u32,
}

impl Chip {
    /// Whether a variant with such needs can be compiled for the chip. All chips have f16 and 1,024 threads.
    pub fn can_run(&self, needs: &Needs) -> bool {
        let has_matrices = needs.cooperative_matrix.is_none() || needs.cooperative_matrix == self.matrix_size;
        // Of several sizes, unmix counts on the largest one where there are matrices.
        let has_size = |size: &u32| match needs.cooperative_matrix {
            Some(_) => self.subgroups.last() == Some(size),
            None => self.subgroups.contains(size),
        };
        let has_subgroups = needs.subgroup_size.as_ref().is_none_or(has_size);
        has_matrices && has_subgroups && needs.workgroup_bytes <= self.workgroup_bytes && needs.threads <= 1024
    }
}

/// All chips.
pub const CHIPS: [Chip; 6] = [
    Chip {
        name: "navi31",
        product: "RDNA 3, Radeon RX 7900 XTX",
        driver: Driver::Amd,
        variables: &[("RADV_FORCE_FAMILY", "navi31")],
        device: "navi31",
        subgroups: &[32, 64],
        matrix_size: Some(16),
        workgroup_bytes: 64 << 10,
        shared_bytes: None,
        reserved_bytes: 0,
        // In one cycle, RDNA 3 issues two f32 instructions of a subgroup of 32, or both halves of one of a subgroup of 64.
        rates: Some(Rates { width: 64, peak: 128, matrix_peak: 256 }),
        least_threads: 256,
    },
    Chip {
        name: "navi21",
        product: "RDNA 2, Radeon RX 6900 XT",
        driver: Driver::Amd,
        variables: &[("RADV_FORCE_FAMILY", "navi21")],
        device: "navi21",
        subgroups: &[32, 64],
        matrix_size: None,
        workgroup_bytes: 64 << 10,
        shared_bytes: None,
        reserved_bytes: 0,
        rates: Some(Rates { width: 32, peak: 64, matrix_peak: 0 }),
        least_threads: 256,
    },
    Chip {
        name: "turing",
        product: "TU102, GeForce RTX 2080 Ti",
        driver: Driver::Nvidia,
        variables: &[("NOUVEAU_CHIPSET", "162"), ("NVK_I_WANT_A_BROKEN_VULKAN_DRIVER", "1")],
        device: "",
        subgroups: &[32],
        matrix_size: Some(16),
        workgroup_bytes: 48 << 10,
        shared_bytes: Some(64 << 10),
        reserved_bytes: 0,
        rates: None,
        least_threads: 512,
    },
    Chip {
        name: "ampere",
        product: "GA102, GeForce RTX 3090",
        driver: Driver::Nvidia,
        variables: &[("NOUVEAU_CHIPSET", "172"), ("NVK_I_WANT_A_BROKEN_VULKAN_DRIVER", "1")],
        device: "",
        subgroups: &[32],
        matrix_size: Some(16),
        workgroup_bytes: 48 << 10,
        shared_bytes: Some(100 << 10),
        reserved_bytes: 1 << 10,
        rates: None,
        least_threads: 512,
    },
    Chip {
        name: "m1",
        product: "Apple M1",
        driver: Driver::Apple,
        variables: &[],
        device: "",
        subgroups: &[32],
        matrix_size: None,
        workgroup_bytes: 32 << 10,
        shared_bytes: None,
        reserved_bytes: 0,
        rates: None,
        least_threads: 768,
    },
    Chip {
        name: "adreno750",
        product: "Qualcomm Adreno 750",
        driver: Driver::Adreno,
        variables: &[("FD_GPU_ID", "750")],
        device: "",
        subgroups: &[64, 128],
        matrix_size: None,
        workgroup_bytes: 32 << 10,
        shared_bytes: None,
        reserved_bytes: 0,
        rates: None,
        least_threads: 512,
    },
];
