//! Times as people write them.

use std::time::Duration;

/// Parses a time such as `60s`, `100ms` or `5m`. `0` needs no unit.
///
/// # Errors
/// What is needed.
pub fn parse_time(text: &str) -> Result<Duration, String> {
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
            assert_eq!(parse_time(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "s", "60", "-1s", "5 m", "1e400s", "nans", "infs", "3d"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
