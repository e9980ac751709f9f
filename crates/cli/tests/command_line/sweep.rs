//! `unmix sweep`: which number of features?

use std::path::Path;
#[cfg(unix)]
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Files, NEURONS, Run, command, unmix, values};

/// A sweep of the three kinds of tokens, which takes a second.
const OPTIONS: [&str; 11] =
    ["--rank", "1,2,3,6", "-p", "0.34", "--seeds", "2", "--folds", "3", "--engine", "cpu", "--json"];

fn swept(file: &str, out: &str, options: &[&str]) -> Run {
    unmix(&[&["sweep", file, "--out", out][..], &OPTIONS, options].concat())
}

fn ranks(layer: &Value) -> Vec<u64> {
    let points = layer["points"].as_array().expect("points");
    points.iter().map(|point| point["rank"].as_u64().expect("a rank")).collect()
}

fn read(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("read")).expect("JSON")
}

#[test]
fn the_number_of_kinds_of_tokens_is_recommended_and_everything_is_stored() {
    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("sweep"));
    let json = swept(&file, &out, &[]).expect(0).json();
    let layer = &json["layers"][0];
    assert_eq!((&layer["name"], &layer["complete"]), (&"x".into(), &true.into()));
    assert_eq!(layer["recommendation"]["rank"], 3, "{layer}");
    let reason = layer["recommendation"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("K = 3") && reason.contains("come back"), "{reason}");
    assert!([1, 2, 3, 6].iter().all(|rank| ranks(layer).contains(rank)), "{layer}");
    let point = &layer["points"][ranks(layer).iter().position(|&rank| rank == 3).expect("measured")];
    for (list, length) in [("seeds", 2), ("relative_errors", 2), ("held_out_errors", 3), ("stabilities", 1)] {
        assert_eq!(point[list].as_array().expect("a list").len(), length, "{list}");
    }
    assert_eq!(json, read(&format!("{out}/sweep.json")));
    // A line for each point, and the heading.
    let table = std::fs::read_to_string(format!("{out}/sweep.csv")).expect("read");
    assert_eq!(table.lines().count(), ranks(layer).len() + 1);
    assert!(table.lines().filter(|line| line.ends_with(",true")).all(|line| line.starts_with("x,3,0.34,")), "{table}");
    let page = std::fs::read_to_string(format!("{out}/sweep.html")).expect("read");
    assert!(page.contains("Content-Security-Policy") && page.contains("\"recommended\":true"));
    assert_eq!(files.names(), ["sweep", "x.safetensors"]);
}

#[test]
fn a_finished_sweep_is_not_computed_again_and_may_ask_for_more_ranks() {
    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("sweep"));
    let first = swept(&file, &out, &["--refine", "0"]).expect(0).json();
    let again = swept(&file, &out, &["--refine", "0"]).expect(0).json();
    // The times of the points show that they were not measured again.
    assert_eq!(first["layers"], again["layers"]);
    let more = unmix(&[
        "sweep", &file, "--out", &out, "--rank", "4", "-p", "0.34", "--seeds", "2", "--folds", "3", "--engine", "cpu",
        "--json", "--refine", "0",
    ]);
    let more = more.expect(0).json();
    assert_eq!(ranks(&more["layers"][0]), [1, 2, 3, 4, 6]);
    assert_eq!(more["layers"][0]["points"][0], first["layers"][0]["points"][0]);
}

#[test]
fn changed_activations_and_options_are_refused_with_the_reason() {
    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("sweep"));
    swept(&file, &out, &["--refine", "0"]).expect(0);
    let before = std::fs::read(format!("{out}/sweep.json")).expect("read");
    let refused = |options: &[&str], words: &[&str]| {
        let run = swept(&file, &out, options).expect(2);
        words.iter().for_each(|word| assert!(run.stderr.contains(word), "no {word:?} in: {}", run.stderr));
    };
    refused(&["--penalty", "0.2"], &["--penalty 0.2", "has one by rank", "--out"]);
    refused(&["--seed", "7"], &["--seed 7", "has 0"]);
    refused(&["--solver", "mu"], &["--solver mu", "--out"]);
    refused(&["--skip-first", "1"], &["--skip-first: the sweep in", "other tokens of x", "--out"]);
    let prompts: Vec<i32> = (0..120).map(|i| i / 12).collect();
    files.with_columns("x.safetensors", &[("activations", &values(), &[120, NEURONS])], &[("prompt_ids", &prompts)]);
    refused(&[], &["x: its prompt_ids have changed", "held out together", "--out"]);
    let other: Vec<f32> = values().iter().map(|x| x * 1.5).collect();
    files.tensors("x.safetensors", &[("activations", &other, &[120, NEURONS])]);
    refused(&[], &["x: its activations have changed", "fingerprint", "--out"]);
    assert_eq!(std::fs::read(format!("{out}/sweep.json")).expect("read"), before);
}

#[test]
fn what_cannot_be_swept_is_refused_before_the_work() {
    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("sweep"));
    let sweep = |options: &[&str], words: &[&str]| {
        files.refused(&[&["sweep", &file, "--out", &out][..], options].concat(), words);
    };
    sweep(&["--rank", "25"], &["--rank 25", "120 tokens × 24 neurons", "from 1 to 24"]);
    sweep(&["--folds", "1"], &["--folds 1", "at least 2"]);
    sweep(&["--init", "given"], &["--init given", "start from their seeds"]);
    sweep(&["--solver", "mu", "--penalty", "0.1"], &["--penalty", "--solver hals"]);
    sweep(&["--sparsity", "0,0.1"], &["--sparsity", "above 0"]);
    files.refused(&["sweep", &file, &file, "--each", "--out", &out], &["x: two files have this name"]);
    std::fs::create_dir(files.path("full")).expect("created");
    files.write("full/mine.txt", "mine");
    let full = files.path("full");
    files.refused(&["sweep", &file, "--out", &full], &["something else than a sweep", "--out"]);
    files.write("full/sweep.json", "{}");
    files.refused(&["sweep", &file, "--out", &full], &["sweep.json", "not the record of a sweep", "--out"]);
    let one = files.npy("one.npy", &values()[..NEURONS], NEURONS);
    files.refused(&["sweep", &one, "--out", &out], &["one.npy holds 1 token", "--folds 0"]);
    sweep(&["--reports", "--tokens", "missing.json"], &["missing.json"]);
    let vocabulary = files.write("vocabulary.json", r#"[" red"," green"," blue"]"#);
    let no_ids = files.npy("no-ids.npy", &values(), NEURONS);
    let words = ["--reports", "--vocabulary", &vocabulary];
    files.refused(
        &[&["sweep", &no_ids, "--out", &out][..], &words].concat(),
        &["no-ids.npy has no token ids", "--tokens"],
    );
    let mut bad = values();
    bad[5 * NEURONS + 2] = f32::NAN;
    let bad = files.npy("bad.npy", &bad, NEURONS);
    files.refused(&["sweep", &file, &bad, "--each", "--out", &out], &["bad.npy", "token 5, neuron 2 is NaN"]);
    let deep = files.path("none/sweep");
    files.refused(&["sweep", &file, "--out", &deep], &["none is missing", "--out"]);
}

#[test]
fn each_file_is_a_layer_and_kept_fits_are_fits() {
    let files = Files::new();
    let one = files.activations("one.safetensors");
    let negative: Vec<f32> = values().iter().map(|x| -x).collect();
    // A name of dots alone must not lead out of the folder.
    let other = files.tensors("...safetensors", &[("activations", &negative, &[120, NEURONS])]);
    let out = files.path("sweep");
    let options = ["--rank", "3", "-p", "0.34", "--seeds", "2", "--folds", "0", "--refine", "0", "--engine", "cpu"];
    let run =
        unmix(&[&["sweep", &one, &other, "--each", "--keep-fits", "--out", &out][..], &options].concat()).expect(0);
    assert!(run.stdout.contains("one\n") && run.stdout.contains("...safetensors\n"), "{}", run.stdout);
    assert!(
        run.stdout.matches("recommended: K = 3").count() == 2 && run.stdout.contains("sweep.html"),
        "{}",
        run.stdout
    );
    let json = read(&format!("{out}/sweep.json"));
    assert_eq!(json["layers"].as_array().expect("layers").len(), 2);
    for layer in json["layers"].as_array().expect("layers") {
        let fits = layer["fits"].as_array().expect("fits");
        assert_eq!(fits.len(), 2);
        for fit in fits {
            let folder = Path::new(&out).join(fit["folder"].as_str().expect("a folder"));
            let features = unmix(&["features", folder.to_str().expect("UTF-8"), "--json"]).expect(0).json();
            assert_eq!(features["features"].as_array().expect("features").len(), 3);
        }
    }
}

#[test]
fn fits_that_are_wanted_later_or_are_gone_are_made_again() {
    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("sweep"));
    let options =
        ["--rank", "2,3", "-p", "0.34", "--seeds", "2", "--folds", "0", "--refine", "0", "--engine", "cpu", "--json"];
    let sweep = |more: &[&str]| unmix(&[&["sweep", &file, "--out", &out][..], &options, more].concat()).expect(0);
    assert_eq!(sweep(&[]).json()["layers"][0]["fits"], Value::Null);
    let kept = sweep(&["--keep-fits"]);
    assert!(kept.stderr.contains("measuring 2 points again"), "{}", kept.stderr);
    assert_eq!(kept.json()["layers"][0]["fits"].as_array().expect("fits").len(), 4);
    assert!(!sweep(&["--keep-fits"]).stderr.contains("again"));
    std::fs::remove_dir_all(format!("{out}/fits")).expect("removed");
    let reported = sweep(&["--reports"]).json();
    let fits = reported["layers"][0]["fits"].as_array().expect("fits");
    assert_eq!(fits.iter().filter(|fit| fit["report"].is_string()).count(), 2);
    // Words that are given later reach the reports.
    let report = fits.iter().find_map(|fit| fit["report"].as_str()).expect("a report");
    let page = || std::fs::read_to_string(Path::new(&out).join(report)).expect("read");
    assert!(!page().contains("green"));
    sweep(&["--reports", "--tokens", &files.tokens()]);
    assert!(page().contains("green"));
}

#[test]
fn reports_are_linked_from_the_page() {
    let files = Files::new();
    let (file, out, tokens) = (files.activations("x.safetensors"), files.path("sweep"), files.tokens());
    let options =
        ["--rank", "2,3", "-p", "0.34", "--seeds", "2", "--folds", "0", "--refine", "0", "--engine", "cpu", "--json"];
    let sweep = |more: &[&str]| unmix(&[&["sweep", &file, "--out", &out][..], &options, more].concat());
    let refused = sweep(&["--tokens", &tokens]).expect(2);
    assert!(refused.stderr.contains("add --reports"), "{}", refused.stderr);
    let json = sweep(&["--reports", "--tokens", &tokens]).expect(0).json();
    let fits = json["layers"][0]["fits"].as_array().expect("fits");
    let reports: Vec<&str> = fits.iter().filter_map(|fit| fit["report"].as_str()).collect();
    assert_eq!((fits.len(), reports.len()), (4, 2));
    for report in reports {
        let page = std::fs::read_to_string(Path::new(&out).join(report)).expect("read");
        assert!(page.contains("Content-Security-Policy") && page.contains("green"));
        assert!(std::fs::read_to_string(format!("{out}/sweep.html")).expect("read").contains(report));
    }
    // A record that names fits elsewhere has not come from a sweep.
    let record = std::fs::read_to_string(format!("{out}/sweep.json")).expect("read");
    std::fs::write(format!("{out}/sweep.json"), record.replace("\"fits/", "\"../")).expect("written");
    let refused = sweep(&["--reports", "--tokens", &tokens]).expect(2);
    assert!(refused.stderr.contains("which is not in its folder"), "{}", refused.stderr);
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_finished_points_and_the_same_command_goes_on() {
    use std::io::{BufRead, BufReader};

    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("sweep"));
    // So many iterations that the signal comes while points are left.
    let args = ["sweep", &file, "--out", &out, "--rank", "1,2,3,4,5,6", "-p", "0.34", "--seeds", "1", "--folds", "0"];
    let slow = ["--refine", "0", "--engine", "cpu", "--tolerance", "0", "--max-iterations", "5000"];
    let sweep = [&args[..], &slow].concat();
    let mut child = command(&[&sweep[..], &["--progress", "json"]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("K = 1, ") || !line.contains("error") {
        line.clear();
        assert!(stderr.read_line(&mut line).expect("read") > 0, "ended early");
    }
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("started");
    assert!(killed.success());
    let said: String = stderr.lines().map(|line| line.expect("read")).collect();
    let run = Run { stderr: said, ..child.wait_with_output().expect("ended").into() }.expect(130);
    let told = ["points measured", "the same command goes on"];
    assert!(told.iter().all(|words| run.stderr.contains(words)), "{}", run.stderr);
    let stored = read(&format!("{out}/sweep.json"));
    assert_eq!(stored["layers"][0]["complete"], false);
    let done = stored["layers"][0]["points"].as_array().expect("points");
    assert!((1..6).contains(&done.len()), "{done:?}");
    let again = unmix(&[&sweep[..], &["--json"]].concat()).expect(0).json();
    assert_eq!(again["layers"][0]["points"].as_array().expect("points")[..done.len()], done[..]);
    assert_eq!(ranks(&again["layers"][0]), [1, 2, 3, 4, 5, 6]);
}

#[cfg(unix)]
#[test]
fn a_sweep_stopped_in_its_first_point_keeps_others_out_while_it_runs_and_goes_on_later() {
    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("sweep"));
    let args = ["sweep", &file, "--out", &out, "--rank", "3", "-p", "0.34", "--seeds", "8", "--folds", "0"];
    let slow = ["--refine", "0", "--engine", "cpu", "--tolerance", "0", "--max-iterations", "5000", "--keep-fits"];
    let sweep = [&args[..], &slow].concat();
    let child = command(&sweep).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("started");
    while !Path::new(&out).join("sweep.html").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let second = unmix(&sweep).expect(2);
    assert!(second.stderr.contains("another process is working on it"), "{}", second.stderr);
    // Signals are caught as soon as the record is stored, which the second process has seen long ago.
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("started");
    assert!(killed.success());
    Run::from(child.wait_with_output().expect("ended")).expect(130);
    assert_eq!(read(&format!("{out}/sweep.json"))["layers"][0]["points"], Value::Array(Vec::new()));
    let again = unmix(&[&sweep[..], &["--json"]].concat()).expect(0).json();
    assert_eq!(ranks(&again["layers"][0]), [3]);
}
