//! The order in which people count files: `shard-2` comes before `shard-10`.

use std::cmp::Ordering;
use std::path::Path;

/// Compares two paths folder by folder and name by name. Runs of digits in names compare as numbers.
pub(crate) fn compare(a: &Path, b: &Path) -> Ordering {
    let names = |path: &'_ Path| -> Vec<Vec<u8>> {
        path.components().map(|part| part.as_os_str().as_encoded_bytes().to_vec()).collect()
    };
    let (left, right) = (names(a), names(b));
    let by_name = left.iter().zip(&right).map(|(a, b)| compare_names(a, b)).find(|order| order.is_ne());
    // Names may be equal as numbers and differ in their zeros, such as 1 and 01. In that case their bytes decide.
    by_name.unwrap_or_else(|| left.len().cmp(&right.len())).then_with(|| a.cmp(b))
}

fn compare_names(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        match (a.first(), b.first()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (left, right) = (number(&mut a), number(&mut b));
                // Without leading zeros, the longer number is the larger one.
                let order = left.len().cmp(&right.len()).then_with(|| left.cmp(right));
                if order.is_ne() {
                    return order;
                }
            }
            (Some(x), Some(y)) if x != y => return x.cmp(y),
            (Some(_), Some(_)) => (a, b) = (&a[1..], &b[1..]),
            (left, right) => return left.cmp(&right),
        }
    }
}

/// Takes a run of digits off the front, and returns it without leading zeros.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    &digits[digits.iter().position(|&byte| byte != b'0').unwrap_or(digits.len())..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = ["s/x-10.npy", "s/x-9.npy", "s/x.npy", "r/x-11.npy", "s/x-010.npy", "s/x-1b.npy", "s/x-1a.npy"];
        names.sort_by(|a, b| compare(Path::new(a), Path::new(b)));
        let expected = ["r/x-11.npy", "s/x-1a.npy", "s/x-1b.npy", "s/x-9.npy", "s/x-010.npy", "s/x-10.npy", "s/x.npy"];
        assert_eq!(names, expected);
        let huge = ["99999999999999999999999998", "99999999999999999999999999"];
        assert_eq!(compare(Path::new(huge[0]), Path::new(huge[1])), Ordering::Less);
    }
}
