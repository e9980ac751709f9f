//! How much work a dispatch has.

/// Most floating-point operations of a dispatch. A device that is busy with one for seconds is taken for hung.
const DISPATCH_FLOPS: u64 = 50_000_000_000;

/// Workgroups in one dimension for `wanted` of them. Kernels loop beyond the portable limit of 65,535.
pub fn workgroups(wanted: u64) -> u32 {
    wanted.clamp(1, 65_535) as u32
}

/// How many units of work a dispatch takes if each is this many operations: a multiple of `unit`.
pub fn units_of_a_dispatch(flops: u64, unit: u32) -> u32 {
    let units = DISPATCH_FLOPS / flops.max(1) / u64::from(unit);
    units.clamp(1, u64::from(u32::MAX / unit)) as u32 * unit
}
