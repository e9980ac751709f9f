//! Reads the output of `cargo test`: which test programs ran, and how their tests went.

/// A test program, or the documentation tests of a crate.
#[derive(Debug, PartialEq, Eq)]
pub struct Suite {
    /// Name of its file without the hash, such as `kernels`. `doc NAME` for the documentation of a crate.
    pub name: String,
    /// Tests that passed. None until the program has reported them.
    pub passed: Option<u64>,
}

/// The sum over all test programs.
#[derive(Debug, Default)]
pub struct Tally {
    /// Every suite that was started.
    pub suites: Vec<Suite>,
    /// Tests that passed. A test counts as often as it ran.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that were ignored.
    pub ignored: u64,
    /// Names of the tests that failed. Each comes after the name of its suite.
    pub failures: Vec<String>,
    /// What is special about the present runs. It is added to the name of a failure.
    pub condition: String,
}

impl Tally {
    /// Takes in a line of output.
    pub fn read(&mut self, line: &str) {
        let line = without_colour(line);
        let line = line.trim();
        if let Some(program) = line.strip_prefix("Running ").and_then(program_name) {
            self.suites.push(Suite { name: program, passed: None });
        } else if let Some(name) = line.strip_prefix("Doc-tests ") {
            self.suites.push(Suite { name: format!("doc {name}"), passed: None });
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            let passed = count(counts, "passed");
            self.passed += passed;
            self.failed += count(counts, "failed");
            self.ignored += count(counts, "ignored");
            if let Some(suite) = self.suites.last_mut() {
                // Documentation tests report several results.
                suite.passed = Some(suite.passed.unwrap_or(0) + passed);
            }
        } else if let Some(test) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            let suite = self.suites.last().map_or("?", |suite| suite.name.as_str());
            self.failures.push(format!("{suite}: {test}{}", self.condition));
        }
    }

    /// Suites that were started but never reported a result: they crashed.
    pub fn crashed(&self) -> impl Iterator<Item = &str> {
        self.suites.iter().filter(|suite| suite.passed.is_none()).map(|suite| suite.name.as_str())
    }

    /// Tests that passed in the suite `name`. None if it did not run to its end.
    pub fn passed_in(&self, name: &str) -> Option<u64> {
        self.suites.iter().filter(|suite| suite.name == name).filter_map(|suite| suite.passed).reduce(|a, b| a + b)
    }
}

/// The name in a line such as `tests/kernels.rs (target/release/deps/kernels-0123456789abcdef)`: `kernels`.
fn program_name(running: &str) -> Option<String> {
    let path = running.strip_suffix(')')?.rsplit_once('(')?.1;
    let file = path.rsplit(['/', '\\']).next()?;
    let stem = file.strip_suffix(".exe").unwrap_or(file);
    Some(stem.rsplit_once('-').map_or(stem, |(name, _)| name).to_owned())
}

/// The number before `what` in a line such as `ok. 3 passed; 0 failed; …`.
fn count(counts: &str, what: &str) -> u64 {
    let parts = counts.split([';', '.']).map(str::trim);
    parts.filter_map(|part| part.strip_suffix(what)).find_map(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// A line without the sequences that colour it on a terminal.
pub fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // `ESC [ … letter`
            chars.by_ref().skip(1).find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Tally {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn results_add_up_over_programs() {
        let tally = read(
            "\u{1b}[1m\u{1b}[92m     Running\u{1b}[0m unittests src/lib.rs (target/release/deps/unmix_kernels-0a1b)\n\
             test compose::tests::valid ... ok\n\
             test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\
                  Running tests/fits.rs (target/release/deps/fits-99ff)\n\
             test golden_parity ... FAILED\n\
             test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s\n\
                Doc-tests unmix\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n",
        );
        assert_eq!((tally.passed, tally.failed, tally.ignored), (17, 1, 1));
        assert_eq!(tally.passed_in("unmix_kernels"), Some(12));
        assert_eq!(tally.passed_in("doc unmix"), Some(2));
        assert_eq!(tally.passed_in("golden"), None);
        assert_eq!(tally.failures, ["fits: golden_parity"]);
        assert_eq!(tally.crashed().count(), 0);
    }

    #[test]
    fn a_failure_says_under_which_condition() {
        let mut tally = Tally { condition: " with A=0".to_owned(), ..Tally::default() };
        tally.read("     Running tests/fits.rs (target/release/deps/fits-99ff)");
        tally.read("test golden_parity ... FAILED");
        assert_eq!(tally.failures, ["fits: golden_parity with A=0"]);
    }

    #[test]
    fn a_program_that_crashes_is_noticed() {
        let tally = read(
            "     Running tests/fits.rs (target\\release\\deps\\fits-99ff.exe)\n\
             test golden_parity ... error: test failed, to rerun pass `--test fits`\n\
                  Running tests/kernels.rs (target/release/deps/kernels-99ff)\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n",
        );
        assert_eq!(tally.crashed().collect::<Vec<_>>(), ["fits"]);
        assert_eq!(tally.passed_in("kernels"), Some(2));
    }

    #[test]
    fn what_tests_print_is_no_result() {
        let tally = read("Running out of ideas (really)\nrunning 3 tests\ntest it yourself\n");
        assert_eq!((tally.passed, tally.failed), (0, 0));
        assert!(tally.failures.is_empty());
    }
}
