//! Parsers of numbers on the command line.

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
