//! Makes a failing input shorter.

use std::time::{Duration, Instant};

/// A shorter input is nicer, but not worth a longer wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// The shortest input for which `fails` holds, found by leaving out pieces. Each round tries pieces half as long as
/// those of the round before.
pub fn minimize(input: &[u8], fails: impl Fn(&[u8]) -> Result<bool, String>) -> Result<Vec<u8>, String> {
    let begun = Instant::now();
    let mut shortest = input.to_vec();
    let mut piece = shortest.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        let before = shortest.len();
        while at < shortest.len() {
            if begun.elapsed() > PATIENCE {
                return Ok(shortest);
            }
            let end = (at + piece).min(shortest.len());
            let shorter = [&shortest[..at], &shortest[end..]].concat();
            if fails(&shorter)? {
                shortest = shorter;
            } else {
                at = end;
            }
        }
        // If leaving out pieces of this length helped, it is tried once more.
        if shortest.len() == before || piece > shortest.len() {
            piece /= 2;
        }
    }
    Ok(shortest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let fails = |input: &[u8]| Ok(input.contains(&b'[') && input.contains(&b'{'));
        assert_eq!(minimize(b"some [long] text {with} brackets", fails), Ok(b"[{".to_vec()));
        assert_eq!(minimize(b"", |_| Ok(true)), Ok(Vec::new()));
    }
}
