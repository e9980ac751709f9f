//! How many workgroups a dispatch has.

/// Workgroups in one dimension for `wanted` of them: kernels loop where the portable limit of 65,535 cuts it.
pub fn workgroups(wanted: u64) -> u32 {
    wanted.clamp(1, 65_535) as u32
}
