//! Memory of this process and of the machine, on systems that report it.

pub mod allocator;
mod control_groups;
mod process_limits;
mod status;

use status::kibibytes;

/// Most memory that this process has held so far, in bytes. Known only on Linux.
pub fn peak_bytes() -> Option<u64> {
    kibibytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Memory that is available now without swapping, in bytes: that of the machine, or what the process's control groups
/// or limits leave, if that is less. Known only on Linux.
pub fn available_bytes() -> Option<u64> {
    let machine = kibibytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    [control_groups::available_bytes(), process_limits::available_bytes()].into_iter().flatten().chain([machine]).min()
}

/// Memory of a fit beside its activations: coefficients, best coefficients and the copy that is returned, of n × K each, and
/// about four matrices of K × d.
pub fn working_bytes(tokens: u64, neurons: u64, rank: u64) -> u64 {
    let cells = tokens.saturating_mul(3).saturating_add(neurons.saturating_mul(4));
    rank.saturating_mul(cells).saturating_mul(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_shapes_do_not_overflow() {
        assert_eq!(working_bytes(u64::MAX, 1, 2), u64::MAX);
        assert_eq!(working_bytes(10, 1, 1), 4 * 34);
    }
}
