//! Memory of this process and of the machine, on systems that report it.

mod control_groups;
mod process_limits;
mod status;

use status::kibibytes;

/// Most memory that this process has held so far, in bytes. Known only on Linux.
pub fn peak_bytes() -> Option<u64> {
    kibibytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Memory that this process holds now, in bytes. Known only on Linux.
pub fn held_bytes() -> Option<u64> {
    kibibytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// Memory that is available now without swapping, in bytes: that of the machine, or what the process's control groups
/// or limits leave, if that is less. Known only on Linux.
pub fn available_bytes() -> Option<u64> {
    let machine = kibibytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    [control_groups::available_bytes(), process_limits::available_bytes()].into_iter().flatten().chain([machine]).min()
}
