//! `unmix demo`: what a new user sees first.

use crate::harness::{Files, unmix};

#[test]
fn the_demo_finds_subjects_that_it_was_never_told() {
    let run = unmix(&["demo", "--engine", "cpu"]).expect(0);
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 100), "{}", run.stdout);
    for words in ["programming", "counting arithmetic", "eighty", "«", "unmix fit"] {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
    // Progress goes to stderr.
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

#[test]
fn the_demo_writes_its_report_where_it_is_told_to() {
    let files = Files::new();
    let out = files.path("demo.html");
    let args = ["demo", "--engine", "cpu", "-k", "40", "--json", "-q", "--report", &out];
    let json = unmix(&args).expect(0).json();
    assert_eq!((&json["report"], files.names()), (&out.as_str().into(), vec!["demo.html".to_owned()]));
    let page = std::fs::read_to_string(&out).expect("read");
    assert!(page.starts_with("<!doctype html>") && page.contains("SmolLM2-135M"));
    let features = json["features"].as_array().expect("an array");
    let words = features.iter().filter_map(|feature| feature["words"][0]["word"].as_str());
    assert!(words.filter(|word| word.len() > 3).all(|word| page.contains(word)));

    files.refused(&args, &["demo.html", "already exists", "--force"]);
    unmix(&[&args[..], &["--force"]].concat()).expect(0);
    let elsewhere = files.path("none/demo.html");
    files.refused(&["demo", "--report", &elsewhere], &["none/demo.html", "does not exist", "create it first"]);
    files.refused(&["demo", "--report", &files.path("")], &["is a folder"]);
}
