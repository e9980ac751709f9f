//! The ways in which a kernel can be compiled, as data. Those with the most arithmetic for each load come first. An
//! engine picks one.

use crate::{ElementType, Precision};

/// One way to compile a kernel. All variants of a kernel have the same bindings and parameters, and give the same
/// result within rounding. They differ in speed and in what they need.
#[derive(Debug)]
pub struct Variant {
    /// Its name among the kernel's variants.
    pub name: &'static str,
    /// The file in `shaders/`, if it is not the kernel's own. Such a variant is another algorithm.
    pub shader: Option<&'static str>,
    /// The shader features that it sets, besides that of the element type. Those of the kernel's other variants are not
    /// set.
    pub features: &'static [&'static str],
    /// How much of a dispatch's [extent](crate::Dispatch::extent) one workgroup covers, in x, y and z.
    pub tile: [u32; 3],
    /// The storage types that it reads, if the kernel reads elements at all.
    pub elements: &'static [ElementType],
    /// Whether it rounds coefficients to 11 bits, and so computes less, where a dispatch allows that ([`Precision::F16`],
    /// [`Precision::Bf16`]). Its shader is compiled for each precision then.
    pub rounds: bool,
    /// Number of workgroups that keep the cores of a large GPU busy.
    pub enough_workgroups: u64,
    /// What a device must offer.
    pub needs: Needs,
}

/// What a variant needs of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Invocations in a workgroup.
    pub threads: u32,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Arithmetic and storage in f16, and integers of 16 bits.
    pub sixteen_bits: bool,
    /// Subgroup operations, and the subgroup size for which its workgroup is made. Every other size computes the same,
    /// but more slowly.
    pub subgroup_size: Option<u32>,
    /// Cooperative matrices of N × N × N, which multiply f16 and sum in f32.
    pub cooperative_matrix: Option<u32>,
    /// Many registers for each thread. A device with few computes the same, but too few threads fit on a core.
    pub many_registers: bool,
}

impl Needs {
    /// The limits that every WebGPU device has.
    pub const PORTABLE: Needs = Needs {
        threads: 256,
        workgroup_bytes: 16 << 10,
        sixteen_bits: false,
        subgroup_size: None,
        cooperative_matrix: None,
        many_registers: false,
    };

    /// Whether every WebGPU device meets these needs.
    pub fn are_portable(&self) -> bool {
        let Needs { threads, workgroup_bytes, sixteen_bits, subgroup_size, cooperative_matrix, many_registers: _ } =
            *self;
        threads <= Self::PORTABLE.threads
            && workgroup_bytes <= Self::PORTABLE.workgroup_bytes
            && !sixteen_bits
            && subgroup_size.is_none()
            && cooperative_matrix.is_none()
    }
}

/// A larger tile may cover so many times what a smaller one of its kind covers. By the compilers' machine code it does 1.15 to 1.35 times
/// as much in a time.
const MOST_COVERED: f64 = 1.3;

impl Variant {
    /// The only variant of a kernel that has no other. Its extent is a number of workgroups.
    pub const PORTABLE: Variant = Variant {
        name: "portable",
        shader: None,
        features: &[],
        tile: [1, 1, 1],
        elements: &ElementType::ALL,
        rounds: false,
        // Two or more for each core.
        enough_workgroups: 256,
        needs: Needs::PORTABLE,
    };

    /// Results that a thread keeps in registers while it sums them. Cooperative matrices spread theirs over a subgroup.
    pub fn sums_of_a_thread(&self) -> u32 {
        self.tile.iter().product::<u32>().div_ceil(self.needs.threads)
    }

    /// The precision of its products in a dispatch that allows `allowed`.
    pub fn precision(&self, allowed: Precision) -> Precision {
        if self.rounds && allowed != Precision::F32 { Precision::F16 } else { Precision::F32 }
    }

    /// The precisions for which it is compiled.
    pub fn precisions(&self) -> &'static [Precision] {
        if self.rounds { &[Precision::F32, Precision::F16] } else { &[Precision::F32] }
    }

    /// Of variants in the order of preference, the first one that makes enough workgroups of a dispatch of this extent, or
    /// else the one that makes most. A tile that covers much more than there is gives way to a smaller one of its kind: one in registers,
    /// or one on cooperative matrices.
    pub fn filling<'a>(variants: &[&'a Variant], extent: [u32; 3]) -> Option<&'a Variant> {
        let workgroups = |variant: &Variant| product(variant.workgroups(extent));
        let covers = |variant: &Variant| workgroups(variant).saturating_mul(product(variant.tile));
        let is_enough = |variant: &Variant| workgroups(variant) >= variant.enough_workgroups;
        let uses_matrices = |variant: &Variant| variant.needs.cooperative_matrix.is_some();
        let wastes = |variant: &Variant| {
            let is_alike = |other: &&&Variant| uses_matrices(other) == uses_matrices(variant) && is_enough(other);
            let mut others = variants.iter().filter(is_alike);
            others.any(|other| covers(variant) as f64 > MOST_COVERED * covers(other) as f64)
        };
        let enough = variants.iter().find(|variant| is_enough(variant) && !wastes(variant));
        // Of equals, `max_by_key` takes the last.
        enough.or_else(|| variants.iter().rev().max_by_key(|variant| workgroups(variant))).copied()
    }

    /// The workgroups that cover `extent`.
    pub fn workgroups(&self, extent: [u32; 3]) -> [u32; 3] {
        std::array::from_fn(|axis| extent[axis].div_ceil(self.tile[axis]))
    }
}

fn product(axes: [u32; 3]) -> u64 {
    axes.into_iter().map(u64::from).fold(1, u64::saturating_mul)
}

/// The variants of a kernel that can be compiled in one way only.
pub const PORTABLE: &[Variant] = &[Variant::PORTABLE];

/// A kernel with a loop that some threads go through more often than others. With votes (`shaders/shared/vote.wgsl`) those of a subgroup
/// leave it together.
pub(crate) const VOTING_32: Variant = Variant {
    name: "subgroup_32",
    features: &["votes"],
    needs: Needs { subgroup_size: Some(32), ..Needs::PORTABLE },
    ..Variant::PORTABLE
};

/// The variants of a dense product on the register tiles of `shaders/shared/register_tile.wgsl`. The larger tile loads
/// less for each product. The smaller one makes four times as many workgroups.
pub(crate) const TILE_128: Variant =
    Variant { name: "tile_128", features: &["wide"], tile: [128, 128, 1], ..Variant::PORTABLE };
pub(crate) const TILE_64: Variant = Variant { name: "tile_64", tile: [64, 64, 1], ..Variant::PORTABLE };

/// The variants of a kernel on `shaders/shared/block_elimination.wgsl`: a thread has four places of four items, or of two
/// where registers are few.
pub(crate) const ELIMINATION: &[Variant] = &[
    Variant {
        name: "four_items",
        features: &["four_items"],
        needs: Needs { threads: 128, many_registers: true, ..Needs::PORTABLE },
        ..Variant::PORTABLE
    },
    Variant { name: "two_items", ..Variant::PORTABLE },
];
