//! The command line of `cargo xtask fuzz`.

use crate::failure::Failure;

/// What to fuzz, and for how long.
#[derive(Debug, PartialEq)]
pub struct Options {
    /// Minutes for all targets together.
    pub minutes: f64,
    /// Whether to do without libFuzzer.
    pub plain: bool,
    /// Names of targets, each once.
    pub targets: Vec<String>,
}

impl Options {
    /// The options in `args`, for targets among `known`.
    pub fn parse(args: &[String], known: &[String]) -> Result<Options, Failure> {
        let mut options = Options { minutes: 0.0, plain: false, targets: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--plain" => options.plain = true,
                "--minutes" => {
                    let minutes = args.next().and_then(|text| text.parse().ok());
                    options.minutes = minutes
                        .filter(|minutes: &f64| *minutes > 0.0 && minutes.is_finite())
                        .ok_or_else(|| Failure::Usage("--minutes takes a number above zero".to_owned()))?;
                }
                name if known.iter().any(|target| target == name) => {
                    if !options.targets.contains(arg) {
                        options.targets.push(arg.clone());
                    }
                }
                other => {
                    return Err(Failure::Usage(format!(
                        "`fuzz` knows no target or option {other:?}; the targets are {}",
                        known.join(", ")
                    )));
                }
            }
        }
        if options.minutes == 0.0 {
            return Err(Failure::Usage("`fuzz` needs --minutes N".to_owned()));
        }
        if options.targets.is_empty() {
            options.targets = known.to_vec();
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, Failure> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Options::parse(&words(args), &words(&["labels", "npy"]))
    }

    #[test]
    fn without_a_name_all_targets_are_meant() {
        let options = parse(&["--minutes", "0.5"]).unwrap();
        assert_eq!((options.minutes, options.plain, options.targets.len()), (0.5, false, 2));
        assert_eq!(parse(&["npy", "--minutes", "3", "--plain", "npy"]).unwrap().targets, ["npy"]);
    }

    #[test]
    fn mistakes_are_wrong_usage() {
        for args in
            [&[][..], &["npy"], &["--minutes"], &["--minutes", "0"], &["--minutes", "-1"], &["--minutes", "1", "x"]]
        {
            assert!(matches!(parse(args), Err(Failure::Usage(_))), "{args:?}");
        }
    }
}
