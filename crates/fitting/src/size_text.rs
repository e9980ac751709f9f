//! Numbers of bytes as people read and write them.

/// `12.3 MiB`.
pub fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.*} {}", if value < 99.5 { 1 } else { 0 }, UNITS[unit])
}

/// Parses a size such as `2GiB`, `500MB` or `4G`, in bytes.
///
/// # Errors
/// What is needed.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "K" | "KiB" => 1024f64.powi(1),
        "M" | "MiB" => 1024f64.powi(2),
        "G" | "GiB" => 1024f64.powi(3),
        "T" | "TiB" => 1024f64.powi(4),
        _ => f64::NAN,
    };
    match digits.parse::<f64>().map(|number| number * unit) {
        Ok(bytes) if bytes >= 1.0 && bytes < u64::MAX as f64 => Ok(bytes as u64),
        _ => Err("a size is needed, e.g. 2GiB, 500MB or 4G".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("7", 7), ("2GiB", 2 << 30), ("500MB", 500_000_000), ("1.5K", 1536), ("4G", 4 << 30)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "-1G", "2 GiB", "GiB", "nanG", "infG", "1e400", "3x", "1e30T"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
