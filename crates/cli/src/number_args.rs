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
