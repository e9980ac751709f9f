//! The consensus of several runs: `unmix fit --runs`, and what other commands say of it.

use crate::harness::{Files, unmix};

#[test]
fn the_features_of_several_runs_say_how_well_the_runs_agree() {
    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("out"));
    let run =
        unmix(&["fit", &file, "-k", "3", "-p", "0.34", "--engine", "cpu", "--runs", "4", "--out", &out]).expect(0);
    assert!(
        run.stdout.contains("4 of 10 iterations") && run.stdout.contains("features are in more than half"),
        "{}",
        run.stdout
    );
    assert!(
        run.stderr.contains("4 runs of 10 iterations") && run.stderr.contains("runs 1 to 4 of 4"),
        "{}",
        run.stderr
    );
    // Nothing but the result is left.
    assert_eq!(files.names(), ["out", "x.safetensors"]);
    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(files.path("out/run.json")).expect("read")).expect("JSON");
    assert_eq!(record["consensus"]["runs"], 4);
    assert_eq!(record["consensus"]["seeds"].as_array().expect("seeds").len(), 4);
    assert_eq!(record["consensus"]["iterations_each"], 10);
    // The tokens are of three kinds. A run whose start has two tokens of a kind misses one.
    for statistics in record["feature_statistics"].as_array().expect("statistics") {
        assert!(statistics["reproducibility"].as_f64().expect("a number") >= 0.5, "{statistics}");
        assert!((2..=4).contains(&statistics["found_in"].as_u64().expect("a number")), "{statistics}");
    }

    let tokens = files.tokens();
    let run = unmix(&["features", &out, "--tokens", &tokens, "--sort", "reproducibility"]).expect(0);
    assert!(run.stdout.contains("reproducible") && run.stdout.contains("half of the 4 runs"), "{}", run.stdout);
    assert!(run.stdout.contains("red ×10"), "{}", run.stdout);
    let json = unmix(&["features", &out, "--tokens", &tokens, "--sort", "reproducibility", "--json"]).expect(0).json();
    let order: Vec<f64> = json["features"]
        .as_array()
        .expect("features")
        .iter()
        .map(|feature| feature["statistics"]["reproducibility"].as_f64().expect("a number"))
        .collect();
    assert!(order.windows(2).all(|pair| pair[0] >= pair[1]), "{order:?}");
    let tree = unmix(&["tree", &out, "--ranks", "1", "--tokens", &tokens, "--engine", "cpu"]).expect(0);
    assert!(
        tree.stdout.contains("[0.") | tree.stdout.contains("[1.") && tree.stdout.contains("In brackets"),
        "{}",
        tree.stdout
    );
}

#[test]
fn runs_are_kept_beside_the_result_where_other_commands_open_them() {
    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("out"));
    let fit = [
        "fit",
        &file,
        "-k",
        "3",
        "-p",
        "0.34",
        "--engine",
        "cpu",
        "--runs",
        "3",
        "--max-iterations",
        "5",
        "--keep-runs",
        "-q",
    ];
    let fit_to = |out: &str, more: &[&str]| unmix(&[&fit[..], &["--out", out], more].concat());
    let fit = |more: &[&str]| fit_to(&out, more);
    fit(&[]).expect(0);
    assert_eq!(files.names(), ["out", "out.runs", "x.safetensors"]);
    let runs = ["01", "02", "03"].map(|run| files.path(&format!("out.runs/{run}")));
    let compared = unmix(&["compare", &out, &runs[0], &runs[1], &runs[2], "--json"]).expect(0);
    assert!(!compared.stdout.is_empty());
    for run in &runs {
        let json = unmix(&["features", run, "--tokens", &files.tokens(), "--json"]).expect(0).json();
        assert_eq!(json["rank"], 3);
        assert!(json["features"][0]["statistics"]["reproducibility"].is_null());
    }
    // What is there is replaced only if that is asked for, and this is said before the work.
    let error = fit(&[]).expect(2).stderr;
    assert!(error.contains("out") && error.contains("--force"), "{error}");
    // Runs of an earlier consensus do not stay beside those of a new one.
    std::fs::rename(&runs[2], files.path("out.runs/12")).expect("renamed");
    fit(&["--force"]).expect(0);
    let mut kept: Vec<_> = std::fs::read_dir(files.path("out.runs"))
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    kept.sort();
    assert_eq!(kept, ["01", "02", "03"]);
    // A slash at the end of the path does not matter.
    fit_to(&format!("{}/", files.path("other")), &[]).expect(0);
    assert_eq!(files.names(), ["other", "other.runs", "out", "out.runs", "tokens.json", "x.safetensors"]);
}

#[test]
fn a_folder_for_the_runs_appears_only_with_the_runs() {
    let files = Files::new();
    let (damaged, file) = (files.npy("damaged.npy", &[f32::NAN; 400], 8), files.activations("x.safetensors"));
    let fit = |file: &str, out: &str, more: &[&str]| {
        let out = files.path(out);
        unmix(
            &[&["fit", file, "-k", "3", "--engine", "cpu", "--runs", "2", "--keep-runs", "--out", &out], more].concat(),
        )
    };
    fit(&damaged, "a", &[]).expect(2);
    fit(&file, "b", &["--memory", "1KB"]).expect(4);
    fit(&file, "c", &["--init", "svd"]).expect(2);
    assert_eq!(files.names(), ["damaged.npy", "x.safetensors"]);
    files.write("d.runs", "mine");
    let error = fit(&file, "d", &[]).expect(2).stderr;
    assert!(error.contains("d.runs") && error.contains("move it away"), "{error}");
}

#[test]
fn runs_over_zeros_are_warned_of_and_agree_to_zero() {
    let files = Files::new();
    let (zeros, out) = (files.npy("zeros.npy", &[0.0; 400], 8), files.path("out"));
    let run =
        unmix(&["fit", &zeros, "-k", "3", "-p", "0.5", "--engine", "cpu", "--runs", "3", "--out", &out]).expect(0);
    assert_eq!(run.stderr.matches("all activations are zero").count(), 1, "{}", run.stderr);
    assert!(run.stdout.contains("agree to 0.00") && run.stdout.contains("0 of 3 features"), "{}", run.stdout);
}

#[test]
fn what_means_nothing_for_several_runs_is_refused() {
    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("out"));
    let start = files.tensors("start.safetensors", &[("coefficients", &[1.0; 360], &[120, 3])]);
    let refused = |more: &[&str], what: &[&str]| {
        let run = unmix(&[&["fit", &file, "-k", "3", "--engine", "cpu", "--out", &out], more].concat()).expect(2);
        assert!(what.iter().all(|what| run.stderr.contains(what)), "{more:?}: {}", run.stderr);
        assert!(!files.names().contains(&"out".to_owned()) && !files.names().contains(&"out.partial".to_owned()));
    };
    refused(&["--runs", "0"], &["from 1 to 100", "auto"]);
    refused(&["--runs", "many"], &["from 1 to 100", "auto"]);
    refused(&["--runs", "5", "--tolerance", "0.1"], &["--tolerance", "--max-iterations"]);
    refused(&["--runs", "5", "--patience", "2"], &["--patience", "--max-iterations"]);
    refused(&["--runs", "5", "--init", "svd"], &["same start"]);
    refused(&["--runs", "5", "--init-coefficients", &start], &["--init-coefficients", "same start"]);
    refused(&["--runs", "5", "--preset", "paper"], &["--preset", "--max-iterations"]);
    refused(&["--runs", "1", "--keep-runs"], &["--keep-runs"]);
    refused(&["--keep-runs"], &["--runs"]);
    let run = unmix(&["fit", "--resume", &out, "--runs", "3"]).expect(2);
    assert!(run.stderr.contains("--resume"), "{}", run.stderr);
    // A fit of a single run has no reproducibility to sort by.
    unmix(&["fit", &file, "-k", "3", "-p", "0.34", "--engine", "cpu", "-q", "--out", &out]).expect(0);
    let run = unmix(&["features", &out, "--sort", "reproducibility"]).expect(2);
    assert!(run.stderr.contains("--runs auto"), "{}", run.stderr);
}
