//! How many workgroups a dispatch has.

/// Workgroups in one dimension for `wanted` of them. Kernels loop beyond the portable limit of 65,535.
pub fn workgroups(wanted: u64) -> u32 {
    wanted.clamp(1, 65_535) as u32
}
