//! Parsers of numbers on the command line.

use std::time::Duration;

/// Parses a share above 0 and up to 1.
pub fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err("a share above 0 and up to 1 is needed, e.g. 0.01 for 1%".to_owned()),
    }
}

/// Parses a finite number of at least 0.
pub fn at_least_zero(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value >= 0.0 && value.is_finite() => Ok(value),
        _ => Err("a finite number of at least 0 is needed".to_owned()),
    }
}

/// Parses a size such as `2GiB`, `500MB` or `4G`, in bytes.
pub fn size(text: &str) -> Result<u64, String> {
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

/// Parses a time such as `60s`, `100ms` or `5m`. `0` needs no unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "" if digits == "0" => 0.0,
        _ => f64::NAN,
    };
    match digits.parse::<f64>().map(|number| Duration::try_from_secs_f64(number * unit)) {
        Ok(Ok(duration)) => Ok(duration),
        _ => Err("a time with its unit is needed, e.g. 60s, 100ms, 5m or 1h, or 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("7", 7), ("2GiB", 2 << 30), ("500MB", 500_000_000), ("1.5K", 1536), ("4G", 4 << 30)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "-1G", "2 GiB", "GiB", "nanG", "infG", "1e400", "3x", "1e30T"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("0", 0.0), ("0s", 0.0), ("60s", 60.0), ("100ms", 0.1), ("1.5m", 90.0), ("2h", 7200.0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "s", "60", "-1s", "5 m", "1e400s", "nans", "infs", "3d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
