//! How many files may be open at once.

/// Lets the process open as many files as it may ask for: each shard of activations is open while it is read, and on Linux the
/// usual limit is 1,024 where many more are allowed.
#[cfg(target_os = "linux")]
pub fn raise_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a value that lives as long as the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0 {
        limit.rlim_cur = limit.rlim_max;
        // Where it is refused, opening a file says so.
        // SAFETY: as above.
        let _ = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    }
}

/// Elsewhere it is as the system has it.
#[cfg(not(target_os = "linux"))]
pub fn raise_limit() {}
