//! From activations to features and back.

use crate::harness::{Files, NEURONS, TOKENS, unmix, values};

#[test]
fn a_fit_is_saved_and_its_features_are_read() {
    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("out"));
    let run = unmix(&["fit", &file, "-k", "3", "-p", "0.34", "--engine", "cpu", "--out", &out]).expect(0);
    assert!(run.stdout.contains("relative error") && run.stdout.contains("saved in"), "{}", run.stdout);
    assert!(run.stderr.contains("engine: cpu") && run.stderr.contains("iteration"), "{}", run.stderr);
    assert_eq!(files.names(), ["out", "x.safetensors"]);

    let record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(files.path("out/run.json")).expect("read")).expect("JSON");
    for key in [
        "relative_error",
        "iterations",
        "stop_reason",
        "seconds",
        "engine",
        "adapter",
        "seed",
        "options",
        "loss_curve",
        "start_seconds",
        "seconds_curve",
        "input",
        "command_line",
    ] {
        assert!(!record[key].is_null(), "no {key}");
    }
    assert!(record["relative_error"].as_f64().expect("a number") < 0.01);
    assert_eq!(record["command_line"][1], "fit");
    if cfg!(target_os = "linux") {
        assert!(record["peak_memory_bytes"].as_u64().expect("a number") > 1 << 20);
    }

    // Each kind of token has neurons of its own, so each feature is one word.
    let tokens = files.tokens();
    let run = unmix(&["features", &out, "--tokens", &tokens, "--neurons"]).expect(0);
    assert_eq!(run.stderr, "");
    for word in ["red ×10", "green ×10", "blue ×10", "«red» green", "neurons"] {
        assert!(run.stdout.contains(word), "no {word:?} in {}", run.stdout);
    }

    let json = unmix(&["features", &out, "--tokens", &tokens, "--json", "--sort", "index"]).expect(0).json();
    assert_eq!(json["words_from"], "tokens");
    let features = json["features"].as_array().expect("an array");
    assert_eq!(features.iter().map(|f| f["feature"].as_u64().expect("a number")).collect::<Vec<_>>(), [0, 1, 2]);
    for feature in features {
        let contexts = feature["contexts"].as_array().expect("an array");
        assert_eq!(contexts.len(), 10);
        let (row, prompt) = (contexts[0]["row"].as_u64().expect("a row"), &contexts[0]["prompt"]);
        assert_eq!(prompt, row / 8);
        assert_eq!(contexts[0]["token_id"], row % 3);
        assert_eq!(contexts[0]["word"], [" red", " green", " blue"][row as usize % 3]);
        // The window does not extend beyond the prompt of eight words.
        let around = |key: &str| contexts[0][key].as_str().expect("text").split_whitespace().count() as u64;
        assert_eq!((around("before"), around("after")), (row % 8, 7 - row % 8));
        let neurons = feature["neurons"].as_array().expect("an array");
        assert_eq!(neurons.len(), 9);
        assert_eq!(neurons[0]["neuron"].as_u64().expect("a number") / 8, row % 3);
    }
}

#[test]
fn words_come_from_a_vocabulary_or_are_numbers() {
    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("out"));
    unmix(&["fit", &file, "-k", "3", "-p", "0.34", "--engine", "cpu", "--out", &out, "-q"]).expect(0);
    let vocabulary = files.write("vocab.json", r#"{"Ġred": 0, "Ġgreen": 1, "Ġblue": 2}"#);
    let run = unmix(&["features", &out, "--vocabulary", &vocabulary, "--feature", "0", "--context", "1"]).expect(0);
    assert!(
        ["«red» green", "«green» blue", "«blue» red"].iter().any(|words| run.stdout.contains(words)),
        "{}",
        run.stdout
    );
    let run = unmix(&["features", &out]).expect(0);
    assert!(run.stdout.contains("--vocabulary FILE"), "{}", run.stdout);

    // Without any columns of tokens, rows are shown.
    let file = files.npy("x.npy", &values(), NEURONS);
    let out = files.path("plain");
    unmix(&["fit", &file, "-k", "3", "--engine", "cpu", "--out", &out, "-q"]).expect(0);
    let run = unmix(&["features", &out]).expect(0);
    assert!(run.stdout.contains("rows of the activations") && run.stdout.contains("not known"), "{}", run.stdout);
    let run = unmix(&["features", &out, "--vocabulary", &vocabulary]).expect(2);
    assert!(run.stderr.contains("no token ids"), "{}", run.stderr);
}

#[test]
fn json_goes_to_stdout_and_events_to_stderr() {
    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("out"));
    let args = ["fit", &file, "-k", "3", "--engine", "cpu", "--out", &out, "--json", "--progress", "json"];
    let run = unmix(&args).expect(0);
    let saved: serde_json::Value =
        serde_json::from_slice(&std::fs::read(files.path("out/run.json")).expect("read")).expect("JSON");
    assert_eq!(run.json(), saved);
    let events: Vec<serde_json::Value> =
        run.stderr.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect();
    assert_eq!(events[0]["event"], "engine");
    let iterations = events.iter().filter(|event| event["event"] == "iteration").count() as u64;
    assert_eq!(iterations, saved["iterations"].as_u64().expect("a number") + 1);
}

#[test]
fn quiet_says_nothing_but_the_result() {
    let files = Files::new();
    let (file, out) = (files.activations("x.safetensors"), files.path("out"));
    let run = unmix(&["fit", &file, "-k", "3", "--engine", "cpu", "--out", &out, "-q"]).expect(0);
    assert_eq!(run.stderr, "");
}

#[test]
fn the_published_iteration_runs_exactly_as_long_as_it_should() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let y: Vec<f32> = (0..TOKENS * 3).map(|at| 0.1 + ((at * 31) % 17) as f32 / 17.0).collect();
    let start = files.tensors("start.safetensors", &[("y", &y, &[TOKENS, 3]), ("z", &y, &[3, TOKENS])]);
    let fit = |out: &str, seed: &str| {
        let start = format!("{start}:y");
        let args = ["fit", &file, "-k", "3", "--solver", "paper", "--init-coefficients", &start, "--tolerance", "0"];
        let rest = ["--max-iterations", "7", "--engine", "cpu", "--seed", seed, "--json", "-q", "--out", out];
        unmix(&[&args[..], &rest].concat()).expect(0).json()
    };
    let (first, second) = (fit(&files.path("a"), "0"), fit(&files.path("b"), "1"));
    assert_eq!((&first["iterations"], &first["best_iteration"]), (&7.into(), &7.into()));
    assert_eq!(first["options"]["init"], "given");
    // Nothing is random here, so the seed changes nothing.
    assert_eq!(first["loss_curve"], second["loss_curve"]);
}

#[test]
fn the_preset_for_the_paper_has_the_published_settings_and_each_can_be_changed() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let options = |name: &str, given: &[&str]| {
        let out = files.path(name);
        let args = ["fit", &file, "-k", "3", "--engine", "cpu", "-q", "--json", "--out", &out, "--preset", "paper"];
        unmix(&[&args[..], given].concat()).expect(0).json()["options"].clone()
    };
    let published = options("published", &[]);
    for (name, value) in [("solver", "paper"), ("init", "random")] {
        assert_eq!(published[name], value);
    }
    for (name, value) in [("sparsity", 0.01), ("tolerance", 1e-9)] {
        assert_eq!(published[name], value);
    }
    assert_eq!((&published["max_iterations"], &published["patience"]), (&500.into(), &100.into()));

    let changed = options("changed", &["--init", "kmeans", "-p", "0.34", "--max-iterations", "9"]);
    assert_eq!((&changed["solver"], &changed["init"]), (&"paper".into(), &"kmeans".into()));
    assert_eq!((&changed["sparsity"], &changed["max_iterations"]), (&0.34.into(), &9.into()));
    assert_eq!(changed["patience"], 100);
}

#[test]
fn a_fit_with_the_options_that_a_fit_by_default_says_it_used_is_the_same_fit() {
    let files = Files::new();
    let neurons = 150;
    let x: Vec<f32> = (0..60 * neurons).map(|at| ((at * at + 7 * at) % 101) as f32 / 50.0 - 1.0).collect();
    let file = files.npy("x.npy", &x, neurons);
    let fit = |name: &str, given: &[&str]| {
        let out = files.path(name);
        let args = ["fit", &file, "-k", "4", "--engine", "cpu", "-q", "--json", "--out", &out];
        let run = unmix(&[&args[..], given].concat()).expect(0).json();
        (run, std::fs::read(format!("{out}/factorization.safetensors")).expect("factors"))
    };
    let (run, factors) = fit("default", &[]);
    let options = &run["options"];
    assert_eq!((&options["solver"], &run["kept_per_feature"]), (&"hals".into(), &30.into()));
    let word = |name: &str| options[name].to_string().trim_matches('"').to_owned();
    let [solver, init, sparsity, penalty, tolerance] = ["solver", "init", "sparsity", "penalty", "tolerance"].map(word);
    let said = ["--solver", &solver, "--init", &init, "--sparsity", &sparsity, "--penalty", &penalty];
    let (again, same) = fit("again", &[&said[..], &["--tolerance", &tolerance]].concat());
    assert_eq!(again["options"], run["options"]);
    assert_eq!(same, factors);
}

#[test]
fn every_solver_and_start_is_reachable() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    for (solver, init) in [("projected-ls", "kmeans"), ("hals", "random"), ("mu", "svd"), ("paper", "random")] {
        let args = ["fit", &file, "-k", "3", "--engine", "cpu", "-q", "--json", "--max-iterations", "4", "--debias"];
        let out = files.path(solver);
        let rest =
            ["--solver", solver, "--init", init, "--no-revive", "--sweeps", "1", "--ridge", "1e-6", "--out", &out];
        let run = unmix(&[&args[..], &rest].concat()).expect(0).json();
        assert_eq!((&run["options"]["solver"], &run["options"]["init"]), (&solver.into(), &init.into()));
        assert_eq!((&run["options"]["revive"], &run["options"]["debias"]), (&false.into(), &true.into()));
    }
}

#[test]
fn a_fit_can_take_its_sums_in_segments() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let fit = |out: &str, more: &[&str]| {
        let out = files.path(out);
        let arguments = [&["fit", &file, "-k", "3", "-p", "0.34", "--engine", "cpu", "--json", "--out", &out], more];
        unmix(&arguments.concat()).expect(0).json()["relative_error"].as_f64().expect("a number")
    };
    assert!((fit("plain", &[]) - fit("segments", &["--segments", "4"])).abs() < 1e-4);
    let out = files.path("refused");
    let refused = |more: &[&str], told: &str| {
        let arguments = [&["fit", &file, "-k", "3", "--engine", "cpu", "--out", &out], more];
        let run = unmix(&arguments.concat()).expect(2);
        assert!(run.stderr.contains(told), "{}", run.stderr);
    };
    refused(&["--segments", "0"], "--segments");
    refused(&["--segments", "4", "--runs", "3"], "neither in segments nor on several ranks");
}
