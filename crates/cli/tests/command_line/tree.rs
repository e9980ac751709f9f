//! `unmix tree`: how features nest.

use serde_json::Value;

use crate::harness::{Files, NEURONS, tensor, unmix};

/// A fit of twelve features, so that some of them share neurons, and its folder.
fn fitted() -> (Files, String) {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let fit = files.fit(&file, "fit", &["-k", "12", "-p", "0.25", "--max-iterations", "5"]);
    (files, fit)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

fn usize_of(value: &Value) -> usize {
    value.as_u64().expect("a whole number") as usize
}

/// Neurons that more than half of the features `group`, and at least two, use with one sign, and the neurons that each
/// of them uses alone.
fn neurons_of(z: &[f64], group: &[usize]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let users = |j: usize, used: fn(f64) -> bool| group.iter().filter(|&&k| used(z[k * NEURONS + j])).count();
    let most = |j: usize| users(j, |z| z > 0.0).max(users(j, |z| z < 0.0));
    let mut core: Vec<usize> = (0..NEURONS).filter(|&j| most(j) >= 2 && 2 * most(j) > group.len()).collect();
    core.sort_by_key(|&j| (std::cmp::Reverse(most(j)), j));
    let alone = |k: usize| (0..NEURONS).filter(|&j| z[k * NEURONS + j] != 0.0 && users(j, |z| z != 0.0) == 1).collect();
    (core, group.iter().map(|&k| alone(k)).collect())
}

#[test]
fn each_level_has_parents_of_what_is_below() {
    let (files, fit) = fitted();
    let tokens = files.tokens();
    let options = ["--ranks", "6,3,2", "--threshold", "0.4", "--most-children", "3", "--engine", "cpu", "-q"];
    let args = [&["tree", &fit, "--tokens", &tokens, "--json"][..], &options].concat();
    let json = unmix(&args).expect(0).json();
    assert_eq!((&json["options"]["ranks"], &json["options"]["seed"]), (&serde_json::json!([6, 3, 2]), &0.into()));
    assert_eq!(list(&json["features"]).len(), 12);
    let levels = list(&json["levels"]);
    let mut below = 12;
    for (index, (level, rank)) in levels.iter().zip([6, 3, 2]).enumerate() {
        assert_eq!(level["level"], index + 1);
        let error = level["relative_error"].as_f64().expect("a number");
        assert!((0.0..1.0).contains(&error), "{error}");
        let nodes = list(&level["nodes"]);
        assert_eq!(nodes.len(), rank);
        for (number, node) in nodes.iter().enumerate() {
            assert_eq!(node["node"], number);
            let children = list(&node["children"]);
            let strengths: Vec<f64> = children.iter().map(|c| c["strength"].as_f64().expect("a number")).collect();
            assert!(children.len() <= 3 && strengths.is_sorted_by(|a, b| a >= b), "{node}");
            assert!(strengths.iter().all(|&s| s > 0.0 && s >= 0.4 * strengths[0] - 1e-6), "{node}");
            let mut features: Vec<usize> = children.iter().map(|child| usize_of(&child["feature"])).collect();
            features.sort_unstable();
            features.dedup();
            assert!(features.len() == children.len() && features.iter().all(|&feature| feature < below), "{node}");
        }
        below = rank;
    }
    assert_eq!(levels.len(), 3);
    // The words are those of the tokens.
    let words: Vec<&str> = list(&levels[0]["nodes"])
        .iter()
        .flat_map(|node| list(&node["words"]))
        .map(|word| word["word"].as_str().expect("a word"))
        .collect();
    assert!(!words.is_empty() && words.iter().all(|word| ["red", "green", "blue"].contains(word)), "{words:?}");
    // Only the seed decides what is random.
    assert_eq!(json, unmix(&args).expect(0).json());
}

#[test]
fn core_neurons_are_those_that_children_share_and_exclusive_ones_those_they_do_not() {
    let (_files, fit) = fitted();
    let json = unmix(&["tree", &fit, "--ranks", "4", "--engine", "cpu", "-q", "--json"]).expect(0).json();
    let (_, z) = tensor(&format!("{fit}/factorization.safetensors"), "features");
    let mut some = 0;
    for node in list(&json["levels"][0]["nodes"]) {
        let group: Vec<usize> = list(&node["children"]).iter().map(|child| usize_of(&child["feature"])).collect();
        let (core, exclusive) = neurons_of(&z, &group);
        some += core.len();
        assert_eq!(node["core_neurons"], serde_json::json!(core), "{group:?}");
        assert_eq!(node["exclusive_neurons"], serde_json::json!(exclusive), "{group:?}");
    }
    assert!(some > 0);
}

#[test]
fn without_ranks_levels_are_a_half_a_quarter_and_an_eighth_of_at_least_four() {
    let (files, fit) = fitted();
    let out = files.path("tree.json");
    let run = unmix(&["tree", &fit, "--engine", "cpu", "-q", "--out", &out]).expect(0);
    let tree: Value = serde_json::from_slice(&std::fs::read(&out).expect("read")).expect("JSON");
    assert_eq!(tree["options"]["ranks"], serde_json::json!([6]));
    // The file and stdout say the same, and nothing else is written.
    let json = unmix(&["tree", &fit, "--engine", "cpu", "-q", "--json"]).expect(0).json();
    assert_eq!(tree, json);
    assert_eq!(files.names(), ["fit", "tree.json", "x.safetensors"]);
    // For people: every child that JSON has, with its strength.
    assert!(run.stdout.contains("Level 1: 6 features") && run.stdout.contains("12 features of the fit under 6"));
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 100), "{}", run.stdout);
    for node in list(&tree["levels"][0]["nodes"]) {
        for child in list(&node["children"]) {
            let line = format!("#{} {:.2}", child["feature"], child["strength"].as_f64().expect("a number"));
            assert!(run.stdout.contains(&line), "no {line:?} in {}", run.stdout);
        }
    }
    assert!(run.stdout.contains("--vocabulary FILE"), "{}", run.stdout);
}

#[test]
fn a_fit_too_small_for_levels_takes_them_when_told() {
    let files = Files::new();
    let fit = files.fit(&files.activations("x.safetensors"), "fit", &["-k", "3"]);
    files.refused(&["tree", &fit], &["fit", "3 features are too few", "--ranks"]);
    let json = unmix(&["tree", &fit, "--ranks", "2", "--engine", "cpu", "-q", "--json"]).expect(0).json();
    assert_eq!(list(&json["levels"][0]["nodes"]).len(), 2);
}

#[test]
fn ranks_must_fall_and_shares_be_shares() {
    let (files, fit) = fitted();
    let out = files.path("tree.json");
    let refused = |options: &[&str], words: &[&str]| {
        files.refused(&[&["tree", &fit, "--out", &out, "--engine", "cpu", "-q"][..], options].concat(), words);
    };
    refused(&["--ranks", "6,6"], &["--ranks 6", "below the one before, here 6"]);
    refused(&["--ranks", "4,5"], &["--ranks 5", "here 4"]);
    refused(&["--ranks", "12"], &["--ranks 12", "here 12"]);
    refused(&["--ranks", "0"], &["--ranks 0", "at least 1"]);
    refused(&["--ranks", "6,x"], &["--ranks", "'x'"]);
    refused(&["--threshold", "0"], &["--threshold", "above 0 and up to 1"]);
    refused(&["--threshold", "-0.5"], &["--threshold", "above 0 and up to 1"]);
}

#[test]
fn the_file_of_a_tree_is_replaced_only_when_forced() {
    let (files, fit) = fitted();
    let out = files.write("tree.json", "years of work");
    let args = ["tree", &fit, "--out", &out, "--engine", "cpu", "-q"];
    files.refused(&args, &["tree.json", "already exists", "--force"]);
    files.refused(&[&args[..], &["--force"]].concat(), &["tree.json", "not a tree", "another place"]);
    assert_eq!(std::fs::read(&out).expect("read"), b"years of work");
    std::fs::remove_file(&out).expect("removed");
    unmix(&args).expect(0);
    unmix(&[&args[..], &["--force"]].concat()).expect(0);
    let text = std::fs::read_to_string(&out).expect("read");
    assert!(serde_json::from_str::<Value>(&text).is_ok() && text.ends_with("}\n"));
    files.refused(&["tree", &fit, "--out", &files.path(""), "--force"], &["is a folder", "name a file in it"]);
    files.refused(&["tree", &files.path("none")], &["none", "no such", "check the path"]);
}
