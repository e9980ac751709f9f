//! Files in which Linux lists amounts of memory, one on each line.

/// The bytes in the line of `text` that begins with `key`, such as `VmHWM:`.
pub fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::kibibytes;

    #[test]
    fn values_are_read_by_their_key() {
        let status = "Name:\tunmix\nVmPeak:\t  900 kB\nVmHWM:\t  12 kB\n";
        assert_eq!(kibibytes(status, "VmHWM:"), Some(12 * 1024));
        assert_eq!(kibibytes(status, "VmSwap:"), None);
    }
}
