//! The help texts, as snapshots: a change in them should be a decision.

use crate::harness::unmix;

fn help(args: &[&str]) -> String {
    let run = unmix(args).expect(0);
    assert_eq!(run.stderr, "");
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 100), "too wide: {}", run.stdout);
    run.stdout
}

#[test]
fn of_the_whole() {
    insta::assert_snapshot!("unmix", help(&["--help"]));
    insta::assert_snapshot!("unmix_short", help(&["-h"]));
}

#[test]
fn of_each_command() {
    for name in [
        "demo", "inspect", "fit", "sweep", "features", "lens", "concepts", "tree", "report", "export", "encode",
        "compare", "doctor", "bench", "tune",
    ] {
        let text = help(&[name, "--help"]);
        assert!(text.contains("Example"), "{name} has no example");
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn without_a_command_it_is_shown_as_a_mistake() {
    let run = unmix(&[]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert!(run.stderr.contains("Usage: unmix"), "{}", run.stderr);
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(unmix(&["--version"]).expect(0).stdout, format!("unmix {}\n", env!("CARGO_PKG_VERSION")));
}
