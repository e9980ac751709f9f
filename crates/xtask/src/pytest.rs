//! Reads the output of pytest, so that its tests count with those of `cargo test`.

use crate::tally::{Suite, Tally, without_colour};

/// The name under which the tests of the Python package count.
pub const SUITE: &str = "python";

/// Notes that pytest starts.
pub fn start(tally: &mut Tally) {
    tally.suites.push(Suite { name: SUITE.to_owned(), passed: None });
}

/// Takes in a line of the output of `pytest -rfE`.
pub fn read(tally: &mut Tally, line: &str) {
    let line = without_colour(line);
    let line = line.trim();
    if let Some(test) = line.strip_prefix("FAILED ").or_else(|| line.strip_prefix("ERROR ")) {
        let name = test.split_once(" - ").map_or(test, |(name, _)| name);
        tally.failures.push(format!("{SUITE}: {name}"));
    } else if let Some(counts) = counts(line) {
        let sum = |words: &[&str]| counts.iter().filter(|(_, word)| words.contains(word)).map(|(n, _)| n).sum::<u64>();
        let passed = sum(&["passed"]);
        tally.passed += passed;
        tally.failed += sum(&["failed", "error", "errors"]);
        tally.ignored += sum(&["skipped", "xfailed", "xpassed"]);
        if let Some(suite) = tally.suites.last_mut() {
            suite.passed = Some(suite.passed.unwrap_or(0) + passed);
        }
    }
}

/// The counts in pytest's last line, such as `1 failed, 40 passed, 2 skipped in 3.21s`.
fn counts(line: &str) -> Option<Vec<(u64, &str)>> {
    let known =
        ["passed", "failed", "error", "errors", "skipped", "xfailed", "xpassed", "deselected", "warning", "warnings"];
    let (counts, time) = line.trim_matches(['=', ' ']).split_once(" in ")?;
    time.split('s').next()?.parse::<f64>().ok()?;
    counts
        .split(", ")
        .map(|part| {
            let (number, word) = part.split_once(' ')?;
            Some((number.parse().ok()?, word)).filter(|_| known.contains(&word))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(text: &str) -> Tally {
        let mut tally = Tally::default();
        start(&mut tally);
        text.lines().for_each(|line| read(&mut tally, line));
        tally
    }

    #[test]
    fn results_of_pytest_count() {
        let tally = tally(
            "...F.s                                       [100%]\n\
             \u{1b}[31mFAILED\u{1b}[0m tests/test_fit_folder.py::test_a_fit_is_read - ValueError: no\n\
             ERROR tests/test_other.py\n\
             \u{1b}[31m\u{1b}[1m1 failed\u{1b}[0m, \u{1b}[32m4 passed\u{1b}[0m, 1 skipped, 7 deselected, 1 error in 62.10s (0:01:02)\n",
        );
        assert_eq!((tally.passed, tally.failed, tally.ignored), (4, 2, 1));
        assert_eq!(tally.passed_in(SUITE), Some(4));
        assert_eq!(
            tally.failures,
            ["python: tests/test_fit_folder.py::test_a_fit_is_read", "python: tests/test_other.py"]
        );
    }

    #[test]
    fn pytest_that_crashes_is_noticed() {
        let tally = tally("....\nFatal Python error: Segmentation fault in 3 passed\n3 passed in time\n");
        assert_eq!(tally.crashed().collect::<Vec<_>>(), [SUITE]);
    }
}
