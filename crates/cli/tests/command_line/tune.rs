//! `unmix tune`, and the commands that use what it stored.

use std::path::Path;

use crate::harness::{Files, Run, command, unmix};

const SHAPE: [&str; 8] = ["--tokens", "201", "--neurons", "131", "-k", "9", "--runs", "1"];

/// Runs a command that keeps its cache in the folder of `files`.
fn run(files: &Files, args: &[&str]) -> Run {
    command(args).env("UNMIX_CACHE_DIR", files.path("cache")).output().expect("started").into()
}

fn tune(files: &Files, options: &[&str]) -> Run {
    run(files, &[&["tune", "--engine", "gpu"][..], &SHAPE, options].concat())
}

#[test]
fn the_fastest_variants_are_stored_shown_heeded_and_forgotten() {
    let files = Files::new();
    let empty = run(&files, &["tune", "--show"]).expect(0);
    assert!(empty.stdout.contains("Nothing is stored"), "{}", empty.stdout);

    let json = tune(&files, &["--json", "-q"]).expect(0).json();
    let path = json["file"].as_str().expect("a path");
    assert_eq!(Path::new(path), Path::new(&files.path("cache")).join("tuning.json"));
    let timed = json["variants"].as_array().expect("an array");
    assert!(timed.iter().any(|timed| timed["kernel"] == "cross_product"), "{json}");
    let group = |timed: &serde_json::Value| (timed["kernel"].clone(), timed["element"].clone());
    let seconds = |timed: &serde_json::Value| timed["seconds"].as_f64().expect("a number");
    for one in timed {
        let rivals: Vec<_> = timed.iter().filter(|other| group(other) == group(one)).collect();
        assert!(rivals.len() > 2, "{one} has no rival");
        let own: Vec<_> = rivals.iter().filter(|other| other["variant"].is_null()).collect();
        let chosen: Vec<_> = rivals.iter().filter(|other| other["chosen"] == true).collect();
        let ([own], [chosen]) = (&own[..], &chosen[..]) else { panic!("{rivals:?}") };
        // Nothing is chosen because of noise. Otherwise the fastest is chosen.
        match chosen["variant"].is_null() {
            true => assert!(rivals.iter().all(|other| seconds(other) * 1.03 >= seconds(own)), "{rivals:?}"),
            false => {
                assert!(rivals.iter().all(|other| seconds(other) >= seconds(chosen)), "{rivals:?}");
                assert!(seconds(chosen) * 1.03 < seconds(own), "{rivals:?}");
            }
        }
    }

    let shown = run(&files, &["tune", "--show", "--json"]).expect(0).json();
    let stored = &shown["tunings"][0];
    assert_eq!((&stored["adapter"], &stored["driver"]), (&json["adapter"], &json["driver"]));
    let chosen = timed.iter().filter(|timed| timed["chosen"] == true && !timed["variant"].is_null()).count();
    assert_eq!(stored["choices"].as_array().expect("an array").len(), chosen);

    // The device decides which variants win. These are stored whatever was measured.
    let of = |element: &str| {
        let named = timed.iter().filter(|timed| timed["kernel"] == "cross_product" && timed["variant"].is_string());
        let last = named.rev().find(|timed| timed["element"] == element).expect("a variant");
        serde_json::json!({"kernel": "cross_product", "element": element, "variant": last["variant"], "seconds": 0.5})
    };
    let mut by_hand = shown.clone();
    by_hand["tunings"][0]["choices"] = serde_json::json!([of("f32"), of("f16")]);
    std::fs::write(path, by_hand.to_string()).expect("written");
    let table = run(&files, &["tune", "--show"]).expect(0).stdout;
    assert!(table.contains("cross_product") && table.contains(json["adapter"].as_str().expect("text")), "{table}");

    // Tuning for one type keeps the results of the others, and the file has one entry for an adapter.
    tune(&files, &["--element", "bf16", "-q"]).expect(0);
    let again = run(&files, &["tune", "--show", "--json"]).expect(0).json();
    assert_eq!(again["tunings"].as_array().expect("an array").len(), 1);
    let choices = again["tunings"][0]["choices"].as_array().expect("an array");
    for kept in [of("f32"), of("f16")] {
        assert!(choices.contains(&kept), "{kept} is not in {choices:?}");
    }

    let activations = files.activations("x.safetensors");
    let out = files.path("fit");
    let fit = ["fit", &activations, "-k", "3", "--engine", "gpu", "--out", &out, "--force", "-v"];
    let heeded = run(&files, &fit).expect(0);
    assert!(heeded.stderr.contains("as tuned"), "{}", heeded.stderr);
    assert!(!heeded.stderr.contains("warning"), "{}", heeded.stderr);

    let gone = run(&files, &["tune", "--forget", "--json"]).expect(0).json();
    assert_eq!(gone["forgotten"], path);
    assert!(run(&files, &["tune", "--forget"]).expect(0).stdout.contains("Nothing was stored"));
    assert!(!run(&files, &fit).expect(0).stderr.contains("as tuned"));
}

/// A fit succeeds whatever is in the file.
#[test]
fn a_broken_file_costs_a_warning_at_most() {
    let files = Files::new();
    let activations = files.activations("x.safetensors");
    let out = files.path("fit");
    let fit = ["fit", &activations, "-k", "3", "--engine", "gpu", "--out", &out, "--force"];
    let path = Path::new(&files.path("cache")).join("tuning.json");
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let engine = |text: &str| {
        std::fs::write(&path, text).expect("written");
        run(&files, &fit).expect(0).stderr
    };
    for broken in ["", "{", "[]", "{\"tunings\": 3}", "\u{0}\u{1}", "{\"tunings\": [{\"adapter\": \"x\"}]}"] {
        let stderr = engine(broken);
        assert!(stderr.contains("tuning.json") && stderr.contains("ignored"), "{broken:?}: {stderr}");
    }
    assert!(!engine("{\"tunings\": []}").contains("tuning.json"));

    // Results for this adapter, with variants and types that do not exist.
    tune(&files, &["--element", "f32", "-q"]).expect(0);
    let good = std::fs::read_to_string(&path).expect("read");
    let mut stored: serde_json::Value = serde_json::from_str(&good).expect("JSON");
    let choice = serde_json::json!({"kernel": "cross_product", "element": "f32", "variant": "gone", "seconds": 1.0});
    stored["tunings"][0]["choices"] = serde_json::json!([choice]);
    let stderr = engine(&stored.to_string());
    assert!(stderr.contains("`gone`") && stderr.contains("ignored"), "{stderr}");
    stored["tunings"][0]["choices"][0]["element"] = "f17".into();
    assert!(engine(&stored.to_string()).contains("f17"));
    // Results for another driver do not count.
    stored["tunings"][0]["driver"] = "another".into();
    assert!(!engine(&stored.to_string()).contains("ignored"));

    // A broken file is replaced, or deleted.
    std::fs::write(&path, "{").expect("written");
    let shown = run(&files, &["tune", "--show"]).expect(0);
    assert!(shown.stdout.contains("Nothing is stored") && shown.stderr.contains("ignored"), "{}", shown.stderr);
    tune(&files, &["--element", "f32", "-q"]).expect(0);
    assert!(run(&files, &["tune", "--show"]).expect(0).stderr.is_empty());
    std::fs::write(&path, "{").expect("written");
    run(&files, &["tune", "--forget"]).expect(0);
    assert!(!path.exists());
}

#[test]
fn what_cannot_be_tuned_is_refused() {
    assert!(unmix(&["tune", "--engine", "cpu"]).expect(2).stderr.contains("--engine cpu"));
    assert!(
        unmix(&["tune", "--engine", "gpu", "-k", "300", "--tokens", "200"]).expect(2).stderr.contains("--rank 300")
    );
    unmix(&["tune", "--show", "--forget"]).expect(2);
    unmix(&["tune", "--adapter", "no such adapter"]).expect(3);
}

#[test]
fn a_folder_that_cannot_be_made_is_told() {
    let files = Files::new();
    files.write("cache", "a file, not a folder");
    let run = tune(&files, &["--element", "f32", "-q"]).expect(1);
    assert!(run.stderr.contains("cache"), "{}", run.stderr);
}
