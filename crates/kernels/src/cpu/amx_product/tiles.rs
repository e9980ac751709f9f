//! AMX's tiles: permission, configuration, and the product of two pairs of tiles over a block of tokens.
//!
//! It is written in assembly, because the intrinsics are not stable in Rust. Assemblers know the instructions.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

use bytemuck::{Pod, Zeroable};

/// Rows of a tile. It has as many 32-bit columns.
pub const TILE: usize = 16;
/// Tokens that one instruction covers: two bf16 in each 32-bit column.
pub const STEP: usize = 2 * TILE;

/// Parts of a value with 24 bits.
pub const MOST_PARTS: usize = 3;

/// The content of a tile register, row by row.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Tile(pub [[u32; TILE]; TILE]);

/// Sums of two tiles of features times two tiles of neurons.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Sums(pub [[[[f32; TILE]; TILE]; 2]; 2]);

/// Whether the processor has what is used here, and the operating system grants it to this process.
pub fn permitted() -> bool {
    // Leaf 7: AMX-BF16 and AMX-TILE. Leaf 1: OSXSAVE, without which XGETBV below must not be used.
    const AMX: u32 = 1 << 22 | 1 << 24;
    const OSXSAVE: u32 = 1 << 27;
    // The state that the operating system must save: the configuration of the tiles, and their data.
    const TILE_STATE: u64 = 1 << 17 | 1 << 18;
    // Linux gives a process no room for tiles until it asks (x86/include/uapi/asm/prctl.h).
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_int = 18;
    if !is_x86_feature_detected!("avx512bw") || !is_x86_feature_detected!("avx512bf16") {
        return false;
    }
    #[allow(unused_unsafe, reason = "unsafe in older versions of Rust")]
    // SAFETY: every processor with AVX-512 has CPUID and its leaf 7.
    let (features, tiles) = unsafe { (__cpuid(1).ecx, __cpuid_count(7, 0).edx) };
    if features & OSXSAVE == 0 || tiles & AMX != AMX {
        return false;
    }
    // SAFETY: the processor was asked for XGETBV; the call takes two integers and touches no memory of ours.
    unsafe {
        state_components() & TILE_STATE == TILE_STATE
            && libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0
    }
}

#[target_feature(enable = "xsave")]
fn state_components() -> u64 {
    // SAFETY: register 0 exists wherever the instruction does.
    #[allow(unused_unsafe, reason = "unsafe in older versions of Rust")]
    unsafe {
        _xgetbv(0)
    }
}

/// A thread whose eight tiles all have 16 rows of 64 bytes, until this value is dropped.
pub struct Configured(std::marker::PhantomData<*const ()>);

impl Configured {
    /// # Safety
    /// [`permitted`] must have returned true.
    pub unsafe fn new() -> Self {
        // Palette 1. Then for each tile the bytes of a row (u16, from byte 16 on) and the number of rows (u8, from byte
        // 48 on).
        let mut configuration = [0u8; 64];
        configuration[0] = 1;
        for tile in 0..8 {
            configuration[16 + 2 * tile] = 64;
            configuration[48 + tile] = TILE as u8;
        }
        // SAFETY: by the caller; the 64 bytes are read only.
        unsafe { asm!("ldtilecfg [{}]", in(reg) configuration.as_ptr(), options(nostack, readonly, preserves_flags)) };
        Configured(std::marker::PhantomData)
    }

    /// Adds up products over all steps, for two tiles of neurons (`x`) and one or two tiles of features (`y`,
    /// `second`). A step has `parts` tiles of neurons, and two or three of features. With one tile of features, the
    /// sums of the other stay as they are. (In a projection, tokens take the place of features and features that of
    /// neurons, and the steps run over neurons.) Meanwhile it fetches the cache lines from both addresses of `next` on,
    /// one line of each for every two or four tile products. These are so few at a time that they do not keep the tiles
    /// from their own lines.
    pub fn multiply(
        &self,
        y: &[Tile],
        second: Option<&[Tile]>,
        x: (&[Tile], &[Tile]),
        parts: usize,
        sums: &mut Sums,
        next: [*const u8; 2],
    ) {
        let steps = x.0.len() / parts;
        assert!(steps > 0 && x.0.len() == x.1.len() && second.is_none_or(|second| second.len() == y.len()));
        let run = match (parts, y.len() / steps, second.is_some()) {
            (1, 1, true) => two_by_two_1_1,
            (1, 2, true) => two_by_two_1_2,
            (3, 2, true) => two_by_two_3_2,
            (1, 3, true) => two_by_two_1_3,
            (2, 3, true) => two_by_two_2_3,
            (3, 3, true) => two_by_two_3_3,
            (1, 1, false) => one_by_two_1_1,
            (1, 3, false) => one_by_two_1_3,
            (2, 3, false) => one_by_two_2_3,
            (3, 3, false) => one_by_two_3_3,
            _ => unreachable!("an activation has one to three parts, a coefficient two or three, or both have one"),
        };
        let y = [y.as_ptr(), second.unwrap_or(y).as_ptr()];
        // SAFETY: the tiles are configured while `self` lives, which stays in its thread; each operand holds `steps` times
        // its parts; `next` may be any addresses.
        unsafe { run(y, [x.0.as_ptr(), x.1.as_ptr()], steps, sums, next) }
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // SAFETY: AMX is there, or `new` would not have been called.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}

/// Loads a part of the activations of both tiles of neurons.
macro_rules! x {
    ($part:literal) => {
        concat!(
            "tileloadd tmm6, [{x0} + {row}*1 + 1024*",
            $part,
            "]\n",
            "tileloadd tmm7, [{x1} + {row}*1 + 1024*",
            $part,
            "]\n"
        )
    };
}

/// Loads a part of the coefficients, and multiplies it by what was loaded of the activations. `again!` multiplies
/// without loading. Both fetch the next cache lines.
macro_rules! y {
    (2, $part:literal) => {
        concat!(
            "tileloadd tmm4, [{y0} + {row}*1 + 1024*",
            $part,
            "]\n",
            "tileloadd tmm5, [{y1} + {row}*1 + 1024*",
            $part,
            "]\n",
            again!(2)
        )
    };
    (1, $part:literal) => {
        concat!("tileloadd tmm4, [{y0} + {row}*1 + 1024*", $part, "]\n", again!(1))
    };
}

macro_rules! again {
    (2) => {
        concat!(again!(1), "tdpbf16ps tmm2, tmm5, tmm6\n", "tdpbf16ps tmm3, tmm5, tmm7\n")
    };
    (1) => {
        concat!(
            "prefetcht1 [{next}]\nadd {next}, 64\n",
            "prefetcht1 [{other}]\nadd {other}, 64\n",
            "tdpbf16ps tmm0, tmm4, tmm6\ntdpbf16ps tmm1, tmm4, tmm7\n"
        )
    };
}

/// A product over all steps: `$features` tiles of features times two tiles of neurons. A step has `$parts` tiles of
/// neurons and `$y_parts` tiles of each tile of features.
macro_rules! product {
    ($name:ident, $features:tt, $parts:literal, $y_parts:literal, $($step:expr),+) => {
        /// # Safety
        /// Tiles must be configured, and the operands hold `steps` times their parts.
        unsafe fn $name(y: [*const Tile; 2], x: [*const Tile; 2], steps: usize, sums: &mut Sums, next: [*const u8; 2]) {
            // SAFETY: by the caller; reads `steps` times the parts of each operand, reads and writes the sums.
            unsafe {
                asm!(
                    "tileloadd tmm0, [{sums} + {row}*1]",
                    "tileloadd tmm1, [{sums} + {row}*1 + 1024]",
                    "tileloadd tmm2, [{sums} + {row}*1 + 2048]",
                    "tileloadd tmm3, [{sums} + {row}*1 + 3072]",
                    "2:",
                    concat!($($step),+),
                    concat!("add {y0}, 1024*", $y_parts), concat!("add {y1}, 1024*", $y_parts),
                    concat!("add {x0}, 1024*", $parts), concat!("add {x1}, 1024*", $parts),
                    "dec {steps}", "jnz 2b",
                    "tilestored [{sums} + {row}*1], tmm0",
                    "tilestored [{sums} + {row}*1 + 1024], tmm1",
                    "tilestored [{sums} + {row}*1 + 2048], tmm2",
                    "tilestored [{sums} + {row}*1 + 3072], tmm3",
                    y0 = inout(reg) y[0] => _, y1 = inout(reg) y[1] => _,
                    x0 = inout(reg) x[0] => _, x1 = inout(reg) x[1] => _,
                    steps = inout(reg) steps => _, next = inout(reg) next[0] => _, other = inout(reg) next[1] => _,
                    row = in(reg) 64usize,
                    sums = in(reg) sums,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

/// Products for both numbers of tiles of features. Smaller products come first. If both operands have three parts,
/// products of parts whose numbers (from 0) add up to more than 2 are left out.
macro_rules! products {
    ($two:ident, $one:ident, $parts:literal, $y_parts:literal, $($load:ident $part:tt),+) => {
        product!($two, 2, $parts, $y_parts, $(step!($load, 2, $part)),+);
        product!($one, 1, $parts, $y_parts, $(step!($load, 1, $part)),+);
    };
}

macro_rules! step {
    (x, $features:tt, $part:literal) => {
        x!($part)
    };
    (y, $features:tt, $part:literal) => {
        y!($features, $part)
    };
    (again, $features:tt, _) => {
        again!($features)
    };
}

products!(two_by_two_1_1, one_by_two_1_1, 1, 1, x 0, y 0);
products!(two_by_two_1_3, one_by_two_1_3, 1, 3, x 0, y 2, y 1, y 0);
products!(two_by_two_2_3, one_by_two_2_3, 2, 3, x 0, y 2, y 0, y 1, x 1, again _, y 0);
products!(two_by_two_3_3, one_by_two_3_3, 3, 3, x 2, y 0, x 1, again _, y 1, x 0, again _, y 2, y 0);
// For projections, whose number of tiles is even.
product!(two_by_two_1_2, 2, 1, 2, x!(0), y!(2, 1), y!(2, 0));
product!(two_by_two_3_2, 2, 3, 2, x!(2), y!(2, 0), x!(1), again!(2), y!(2, 1), x!(0), again!(2), y!(2, 0));
