//! `unmix demo`: a stranger's first sight.

use crate::harness::unmix;

#[test]
fn the_demo_finds_subjects_that_it_was_never_told() {
    let run = unmix(&["demo", "--engine", "cpu"]).expect(0);
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 100), "{}", run.stdout);
    for words in ["weekdays", "counting arithmetic", "Tuesday", "«", "unmix fit"] {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
    // Progress is elsewhere.
    assert!(!run.stdout.contains("iteration") && run.stderr.contains("iteration"), "{}", run.stderr);
}

#[test]
fn the_demo_as_json() {
    let json = unmix(&["demo", "--engine", "cpu", "-k", "20", "--json", "-q"]).expect(0).json();
    let features = json["features"].as_array().expect("an array");
    assert_eq!(features.len(), 20);
    assert_eq!(features[0]["contexts"].as_array().expect("an array").len(), 10);
    let share = |at: usize| features[at]["statistics"]["explained_share"].as_f64().expect("a number");
    assert!(share(0) >= share(1) && share(1) >= share(19));
}
