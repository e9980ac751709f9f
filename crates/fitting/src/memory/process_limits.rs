//! Memory that the limits of this process leave it (`ulimit -v`, `ulimit -d`). Known on Linux.

use super::status::kibibytes;

/// The least memory that any of the limits leaves, if there is one.
pub fn available_bytes() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    least(&limits, &std::fs::read_to_string("/proc/self/status").ok()?)
}

fn least(limits: &str, status: &str) -> Option<u64> {
    [("Max address space", "VmSize:"), ("Max data size", "VmData:")]
        .into_iter()
        .filter_map(|(limit, used)| {
            let most = limits.lines().find_map(|line| line.strip_prefix(limit))?;
            let most: u64 = most.split_whitespace().next()?.parse().ok()?;
            Some(most.saturating_sub(kibibytes(status, used)?))
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::least;

    #[test]
    fn the_soft_limit_counts_less_what_is_used() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max data size             unlimited            unlimited            bytes     \n\
                      Max address space         1024000              unlimited            bytes     \n";
        assert_eq!(least(limits, "VmSize:\t     600 kB\nVmData:\t 100 kB\n"), Some(1_024_000 - 600 * 1024));
        assert_eq!(least(&limits.replace("1024000", "unlimited"), "VmSize:\t 600 kB\n"), None);
    }
}
