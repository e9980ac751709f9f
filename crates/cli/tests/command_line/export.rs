//! Fits written for other tools.

use crate::harness::{Files, NEURONS, TOKENS, unmix};

/// A fit of small activations, with the arguments and the results of `unmix export`.
struct Fit {
    files: Files,
    activations: String,
    folder: String,
}

impl Fit {
    fn new() -> Fit {
        let files = Files::new();
        let (activations, folder) = (files.activations("x.safetensors"), files.path("fit"));
        unmix(&["fit", &activations, "-k", "3", "-p", "0.34", "--engine", "cpu", "--out", &folder, "-q"]).expect(0);
        Fit { files, activations, folder }
    }

    fn export(&self, args: &[&str]) -> crate::harness::Run {
        unmix(&[&["export", &self.folder, "--out", &self.files.path("out")][..], args].concat())
    }

    /// An export that must fail and leave nothing behind.
    fn refused(&self, args: &[&str], words: &[&str]) {
        let before = self.files.names();
        let run = self.export(args).expect(2);
        words.iter().for_each(|word| assert!(run.stderr.contains(word), "no {word:?} in: {}", run.stderr));
        assert_eq!(self.files.names(), before);
    }

    fn json(&self, name: &str) -> serde_json::Value {
        let path = std::path::Path::new(&self.files.path("out")).join(name);
        serde_json::from_slice(&std::fs::read(path).expect("read")).expect("JSON")
    }
}

#[test]
fn an_encoder_is_fitted_to_the_recorded_activations() {
    let fit = Fit::new();
    let run = fit.export(&["--to", "saelens"]).expect(0);
    assert!(run.stdout.contains("Relative error of the affine encoder 0.00"), "{}", run.stdout);
    assert!(run.stdout.contains("SAE.load_from_disk(\""), "{}", run.stdout);
    assert!(run.stderr.contains("fitting an encoder to") && run.stderr.contains("x.safetensors"), "{}", run.stderr);
    assert!(run.stdout.lines().filter(|line| !line.contains("load_from_disk")).all(|line| line.chars().count() <= 160));
    assert_eq!(fit.json("cfg.json")["metadata"]["unmix"]["encoder"]["fitted"], true);

    // The folder of another tool does not count as an earlier export to this one.
    let run = fit.export(&["--to", "sparsify", "--force"]).expect(2);
    assert!(run.stderr.contains("sae_weights.safetensors"), "{}", run.stderr);
    let json = fit.export(&["--to", "saelens", "--json", "--force", "-q"]).expect(0).json();
    assert_eq!((&json["to"], &json["files"][0]["name"]), (&"saelens".into(), &"sae_weights.safetensors".into()));
    assert!(json["encoder"]["relative_error"].as_f64().expect("a number") < 0.01);
}

#[test]
fn without_the_activations_the_pseudo_inverse_serves() {
    let fit = Fit::new();
    let moved = fit.files.path("moved.safetensors");
    std::fs::rename(&fit.activations, &moved).expect("renamed");
    let run = fit.export(&["--to", "sparsify"]).expect(0);
    assert!(run.stdout.contains("pseudo-inverse") && run.stderr.contains("--activations FILE"), "{}", run.stderr);
    let config = fit.json("cfg.json");
    assert_eq!((&config["k"], &config["unmix"]["encoder"]["fitted"]), (&3.into(), &false.into()));
    fit.export(&["--to", "sparsify", "--force", "--activations", &moved]).expect(0);
    assert_eq!(fit.json("cfg.json")["unmix"]["encoder"]["fitted"], true);
}

#[test]
fn other_activations_are_refused() {
    let fit = Fit::new();
    let other =
        fit.files.tensors("other.safetensors", &[("activations", &[1.0; TOKENS * NEURONS], &[TOKENS, NEURONS])]);
    fit.refused(&["--to", "saelens", "--activations", &other], &["other.safetensors", "fingerprint", "were fitted"]);
    // Another file is at the recorded path by now. This is noticed, but it is no reason to fail.
    std::fs::rename(&other, &fit.activations).expect("renamed");
    let run = fit.export(&["--to", "saelens"]).expect(0);
    assert!(run.stdout.contains("pseudo-inverse"), "{}", run.stdout);
}

#[test]
fn every_tool_is_reachable() {
    let fit = Fit::new();
    let tokens = fit.files.tokens();
    let weights: Vec<f32> = (0..5 * NEURONS).map(|at| at as f32).collect();
    let projection = fit.files.tensors("w.safetensors", &[("a", &weights, &[5, NEURONS]), ("b", &[1.0], &[1, 1])]);
    let site = ["--model-name", "tiny", "--layer", "3"];
    for (tool, args, file) in [
        ("saelens", &["--architecture", "matching-pursuit"][..], "sae_weights.safetensors"),
        ("delphi", &["--splits", "2", "--padding", "9"], "layers.3.mlp/1_2.safetensors"),
        ("saedashboard", &[], "vectors.json"),
        ("neuronpedia", &["--tokens", &tokens], "batch-0.json"),
        ("steering", &["--model", &projection, "--down-proj", "a"], "steer.py"),
    ] {
        let out = fit.files.path(tool);
        let run = unmix(&[&["export", &fit.folder, "--to", tool, "--out", &out][..], args, &site].concat()).expect(0);
        assert!(run.stdout.contains(file) && run.stdout.contains("import"), "{tool}: {}", run.stdout);
        assert!(std::path::Path::new(&out).join(file).is_file(), "{tool}");
    }
}

#[test]
fn the_snippet_for_steering_said_layer_0_where_none_was_given() {
    let fit = Fit::new();
    let weights: Vec<f32> = (0..5 * NEURONS).map(|at| at as f32).collect();
    let shape: &[usize] = &[5, NEURONS];
    let [second, twelfth] = [2, 12].map(|layer| format!("model.layers.{layer}.mlp.down_proj.weight"));
    let layers = fit.files.tensors("layers.safetensors", &[(&second, &weights, shape), (&twelfth, &weights, shape)]);
    let nameless = fit.files.tensors("nameless.safetensors", &[("down_proj", &weights, shape)]);
    let other = fit.files.tensors("other.safetensors", &[("blocks.3.out", &weights, shape)]);
    for (args, layer) in [
        (&["--model", &layers, "--down-proj", &second][..], "2"),
        (&["--model", &layers, "--layer", "12"], "12"),
        (&["--model", &nameless], "LAYER"),
        (&["--model", &nameless, "--layer", "7"], "7"),
        (&["--model", &other, "--down-proj", "blocks.3.out"], "LAYER"),
    ] {
        let args = [&["--to", "steering", "--force"], args].concat();
        let run = fit.export(&args).expect(0);
        assert!(run.stdout.contains(&format!("steer(model, {layer}, load()")), "{args:?}: {}", run.stdout);
        let json = fit.export(&[&args[..], &["--json"]].concat()).expect(0).json();
        assert_eq!(json["layer"], layer.parse::<u32>().map_or(serde_json::Value::Null, Into::into));
    }
    let contradicted = ["--to", "steering", "--force", "--model", &layers, "--down-proj", &second, "--layer", "0"];
    assert!(fit.export(&contradicted).expect(2).stderr.contains("is of layer 2, but layer 0 was asked for"));
}

#[test]
fn an_export_names_the_model_as_the_files_of_the_activations_do_where_the_tool_knows_it_by_that() {
    let files = Files::new();
    let fit_of = |name: &str, model: &str| {
        let file = files.of_place(&format!("{name}.safetensors"), model, "3", "neurons");
        files.fit(&file, name, &["-k", "3", "-p", "0.34"])
    };
    let named = fit_of("named", "someone/model");
    let out = files.path("out");
    let export = |fit: &str, tool: &str, more: &[&str]| {
        unmix(&[&["export", fit, "--to", tool, "--out", &out, "--force"], more].concat())
    };
    let run = export(&named, "saedashboard", &[]).expect(0);
    assert!(run.stdout.contains("someone/model") && run.stdout.contains("--model-name NAME"), "{}", run.stdout);
    let vectors = std::fs::read_to_string(format!("{out}/vectors.json")).expect("read");
    let vectors: serde_json::Value = serde_json::from_str(&vectors).expect("JSON");
    let config = &vectors["config"];
    assert_eq!((&config["model_name"], &config["hook_layer"]), (&"someone/model".into(), &3.into()));
    let given = export(&named, "saedashboard", &["--model-name", "other", "--json"]).expect(0).json();
    assert_eq!(given["model"], "other");

    let tokens = files.tokens();
    let error = export(&named, "neuronpedia", &["--tokens", &tokens]).expect(2).stderr;
    assert!(error.contains("someone/model") && error.contains("--model-name NAME"), "{error}");
    assert!(!error.contains("--layer"), "the layer is known: {error}");
    let error = export(&fit_of("path", "./model"), "saedashboard", &[]).expect(2).stderr;
    assert!(error.contains("./model") && error.contains("--model-name NAME"), "{error}");
}

#[test]
fn what_a_tool_needs_is_asked_for() {
    let fit = Fit::new();
    fit.refused(&["--to", "neuronpedia", "--model-name", "m", "--layer", "1"], &["--tokens FILE", "--vocabulary FILE"]);
    fit.refused(&["--to", "saedashboard", "--layer", "1"], &["--model-name NAME"]);
    fit.refused(&["--to", "steering"], &["--model PATH"]);
    let matrix = fit.files.tensors("w.safetensors", &[("down_proj", &[1.0; 6], &[2, 3])]);
    fit.refused(&["--to", "steering", "--model", &matrix], &["[2, 3]", "24"]);
    fit.refused(&["--to", "delphi", "--hook", "../away"], &["--hook NAME"]);
    fit.refused(&["--to", "word"], &["word", "saelens"]);
}

#[test]
fn options_of_other_tools_are_mistakes() {
    let fit = Fit::new();
    fit.refused(&["--to", "delphi", "--activations", &fit.activations], &["--activations", "sparsify alone"]);
    let pursuit = ["--to", "saelens", "--architecture", "matching-pursuit", "--activations", &fit.activations];
    fit.refused(&pursuit, &["--activations"]);
    fit.refused(&["--to", "sparsify", "--splits", "3"], &["--splits", "delphi alone"]);
    fit.refused(&["--to", "steering", "--tokens", "t.json"], &["--tokens", "neuronpedia alone"]);
}

#[test]
fn a_fit_without_columns_of_tokens_has_no_cache() {
    let files = Files::new();
    let header =
        format!("{:<117}\n", format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({TOKENS}, {NEURONS}), }}"));
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.bytes());
    npy.extend(crate::harness::values().iter().flat_map(|v| v.to_le_bytes()));
    let (file, folder) = (files.write("x.npy", npy), files.path("fit"));
    unmix(&["fit", &file, "-k", "3", "--engine", "cpu", "--out", &folder, "-q"]).expect(0);
    let run = unmix(&["export", &folder, "--to", "delphi", "--out", &files.path("out")]).expect(2);
    assert!(run.stderr.contains("no token ids") && run.stderr.contains("`token_ids`"), "{}", run.stderr);
    assert_eq!(files.names(), ["fit", "x.npy"]);
}

#[test]
fn an_existing_folder_is_kept_without_force() {
    let fit = Fit::new();
    fit.export(&["--to", "saelens"]).expect(0);
    fit.refused(&["--to", "saelens"], &["already exists", "--force"]);
    fit.files.write("out/thesis.tex", "years of work");
    fit.refused(&["--to", "saelens", "--force"], &["thesis.tex"]);
}
