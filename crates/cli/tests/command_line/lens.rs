//! `unmix lens`, on a fit of three features and weights that make their tokens known.

use crate::harness::{Files, NEURONS, Run, run_of, unmix};

/// Width of the residual stream, and tokens.
const WIDTH: usize = 5;
const WORDS: usize = 6;

/// A fit, weights in which neuron j writes into dimension j / 8, a vocabulary, and the paths of all.
struct Setup {
    files: Files,
    fit: String,
    down: String,
    rest: String,
    vocabulary: String,
}

fn setup() -> Setup {
    let files = Files::new();
    let (file, fit) = (files.activations("x.safetensors"), files.path("fit"));
    unmix(&["fit", &file, "-k", "3", "-p", "0.34", "--engine", "cpu", "--out", &fit, "-q"]).expect(0);
    // Activations of odd neurons are negative.
    let down: Vec<f32> = (0..WIDTH * NEURONS)
        .map(|at| (at / NEURONS, at % NEURONS))
        .map(|(i, j)| if j / 8 == i { [1.0, -1.0][j % 2] } else { 0.0 })
        .collect();
    let unembedding: Vec<f32> = (0..WORDS * WIDTH)
        .map(|at| if at / WIDTH % 3 == at % WIDTH { 1.0 + (at / WIDTH / 3) as f32 } else { 0.0 })
        .collect();
    let down = files.tensors("down.safetensors", &[("down_proj", &down, &[WIDTH, NEURONS])]);
    let rest = files.write(
        "rest.safetensors",
        safetensors::serialize(
            [("unembedding", &unembedding, vec![WORDS, WIDTH]), ("final_norm", &vec![2.0; WIDTH], vec![WIDTH])]
                .map(|(name, values, shape)| {
                    let bytes: Vec<u8> = values.iter().flat_map(|v: &f32| v.to_le_bytes()).collect();
                    (name, (shape, bytes))
                })
                .iter()
                .map(|(name, (shape, bytes))| {
                    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
                    (*name, view.expect("a tensor"))
                }),
            Some([("norm".to_owned(), "rms".to_owned())].into()),
        )
        .expect("a file"),
    );
    let vocabulary = files.write(
        "vocabulary.json",
        serde_json::json!([" red", "green\u{1b}[2J\u{202e}", " blue", " RED", " GREEN\n", " BLUE"]).to_string(),
    );
    Setup { files, fit, down, rest, vocabulary }
}

#[test]
fn each_feature_promotes_its_own_words() {
    let s = setup();
    let model = ["--model", &s.down, "--model", &s.rest];
    let lens = |args: &[&str]| unmix(&[&["lens", &s.fit][..], &model, args].concat());
    let run = lens(&["--vocabulary", &s.vocabulary]).expect(0);
    assert_eq!(run.stderr, "");
    for words in ["·RED  ·red", "·GREEN⏎  green [2J·", "·BLUE  ·blue"] {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
    assert!(!run.stdout.contains(['\u{1b}', '\u{202e}']) && run.stdout.lines().count() == 1 + 9 + 3, "{}", run.stdout);
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 100), "{}", run.stdout);

    let json = lens(&["--vocabulary", &s.vocabulary, "--json", "--top", "2", "--feature", "2,0"]).expect(0).json();
    let features = json["features"].as_array().expect("an array");
    assert_eq!(features.iter().map(|f| f["feature"].as_u64().expect("a number")).collect::<Vec<_>>(), [2, 0]);
    for feature in features {
        let promoted = feature["promoted"].as_array().expect("an array");
        assert_eq!((promoted.len(), feature["suppressed"].as_array().expect("an array").len()), (2, 2));
        let id = |at: usize| promoted[at]["token_id"].as_u64().expect("an id");
        assert_eq!(id(0), id(1) + 3);
        let text = promoted[1]["text"].as_str().expect("a text");
        assert_eq!(text, [" red", "green\u{1b}[2J\u{202e}", " blue"][id(1) as usize]);
        // The direction has one dimension, so the RMS norm makes its length √width, times the gain of 2. The mean is
        // over six tokens.
        let expected = 2.0 * (WIDTH as f64).sqrt() * (2.0 - 0.5);
        let logit = promoted[0]["logit"].as_f64().expect("a number");
        assert!((logit - expected).abs() < 0.05, "{logit} for {expected}");
        let word = feature["words"][0]["word"].as_str().expect("a word").to_owned();
        assert!(text.contains(&word) || word.contains("green"), "{word:?} beside {text:?}");
    }
    assert_eq!(json["tensors"]["down_projection"], "down_proj");
    assert_eq!(json["tensors"]["norm"], "rms");
}

#[test]
fn a_token_that_the_vocabulary_lacks_is_shown_as_its_id() {
    let s = setup();
    // An id between others has no text.
    let gap = serde_json::json!({" red": 0, " green": 1, " blue": 2, " RED": 3, " BLUE": 5});
    let gap = s.files.write("gap.json", gap.to_string());
    let model = ["--model", &s.down, "--model", &s.rest, "--vocabulary", &gap];
    let run = unmix(&[&["lens", &s.fit][..], &model].concat()).expect(0);
    assert!(run.stdout.contains("[id 4]"), "{}", run.stdout);
    let json = unmix(&[&["lens", &s.fit, "--json"][..], &model].concat()).expect(0).json();
    let promoted = json["features"].as_array().expect("an array").iter().map(|f| &f["promoted"][0]);
    assert!(promoted.clone().any(|token| token["token_id"] == 4 && token["text"].is_null()), "{json}");
}

#[test]
fn the_words_of_features_stand_beside_what_they_promote() {
    let s = setup();
    let model = ["--model", &s.down, "--model", &s.rest];
    let lens = |args: &[&str]| unmix(&[&["lens", &s.fit][..], &model, args].concat()).expect(0);
    let run = lens(&["--tokens", &s.files.tokens()]);
    for word in ["red", "green", "blue"] {
        let mut lines = run.stdout.lines();
        let at = lines.position(|line| line.contains("active at") && line.contains(word));
        assert!(at.is_some() && lines.next().is_some_and(|line| line.contains("promotes")), "{}", run.stdout);
    }
    // Without text there are no words.
    let run = lens(&[]);
    assert!(!run.stdout.contains("active at") && run.stdout.lines().count() == 1 + 6 + 4, "{}", run.stdout);
    assert_eq!(lens(&["--json"]).json()["features"][0]["words"], serde_json::Value::Null);
}

#[test]
fn rows_of_the_unembedding_that_the_vocabulary_does_not_know_are_hidden() {
    let s = setup();
    let few = s.files.write("few.json", r#"[" red", "green", " blue", " RED"]"#);
    let args = ["lens", &s.fit, "--model", &s.down, "--model", &s.rest, "--vocabulary", &few];
    let run = unmix(&args).expect(0);
    assert!(run.stdout.contains("2 rows of the unembedding stand for no token"), "{}", run.stdout);
    let json = unmix(&[&args[..], &["--json"]].concat()).expect(0).json();
    assert_eq!((&json["tokens"], &json["padding"]), (&4.into(), &2.into()));
    let features = json["features"].as_array().expect("an array");
    assert!(features.iter().all(|feature| feature["promoted"].as_array().is_some_and(|tokens| tokens.len() == 4)));
}

#[test]
fn a_model_of_unknown_type_is_refused_with_the_options_that_help() {
    let s = setup();
    let model = ["--model", &s.down, "--model", &s.rest];
    let lens = |args: &[&str]| unmix(&[&["lens", &s.fit][..], &model, args].concat());
    s.files.write("config.json", r#"{"model_type": "novel"}"#);
    let told = lens(&[]).expect(2).stderr;
    for word in ["\"novel\"", "--down-proj NAME", "--unembedding NAME", "--norm KIND", "--model-type TYPE", "qwen3_5"] {
        assert!(told.contains(word), "no {word:?} in {told}");
    }
    let named =
        ["--down-proj", "down_proj", "--unembedding", "unembedding", "--final-norm", "final_norm", "--norm", "rms"];
    lens(&named).expect(0);
    let json = lens(&["--model-type", "mistral", "--json"]).expect(0).json();
    assert_eq!(json["tensors"]["model_type"], "mistral");
    assert!(lens(&["--model-type", "novel"]).expect(2).stderr.contains("\"novel\""));
    // The type counts: Cohere scales its logits, and has a layer norm.
    let json = lens(&["--model-type", "cohere", "--norm", "layer", "--json"]).expect(0).json();
    assert_eq!((&json["tensors"]["norm"], &json["tensors"]["logit_scale"]), (&"layer".into(), &0.0625.into()));
}

#[test]
fn one_expert_of_several_is_read() {
    let s = setup();
    let expert = |turn: usize| -> Vec<f32> {
        let of_dimension = |at: usize| (at / NEURONS + turn) % 3 == at % NEURONS / 8;
        (0..WIDTH * NEURONS).map(|at| if of_dimension(at) { 1.0 } else { 0.0 }).collect()
    };
    let stack = [expert(0), expert(1)].concat();
    let experts = s
        .files
        .tensors("experts.safetensors", &[("model.layers.4.mlp.experts.down_proj", &stack, &[2, WIDTH, NEURONS])]);
    let lens = |args: &[&str]| {
        unmix(&[&["lens", &s.fit, "--model", &experts, "--model", &s.rest, "--neuron", "0"][..], args].concat())
    };
    assert!(lens(&[]).expect(2).stderr.contains("--expert N"));
    assert!(lens(&["--expert", "2"]).expect(2).stderr.contains("no expert 2"));
    let promoted = |expert: &str| {
        let json = lens(&["--expert", expert, "--json"]).expect(0).json();
        assert_eq!(
            (&json["tensors"]["layer"], &json["tensors"]["expert"].to_string()),
            (&4.into(), &expert.to_owned())
        );
        json["neurons"][0]["promoted"][0]["token_id"].as_u64().expect("an id") % 3
    };
    assert_eq!((promoted("0"), promoted("1")), (0, 2));
}

/// A fit of activations whose file names layer 1 of a model, and a site.
fn fit_at(s: &Setup, site: &str) -> String {
    let file = s.files.of_place(&format!("{site}.safetensors"), "tiny", "1", site);
    s.files.fit(&file, site, &["-k", "3", "-p", "0.34"])
}

#[test]
fn activations_of_another_site_do_not_go_through_the_down_projection() {
    let s = setup();
    let fit = fit_at(&s, "resid");
    s.files
        .refused(&["lens", &fit, "--model", &s.down, "--model", &s.rest], &["--model", "`resid`", "down-projection"]);
    let export = |more: &[&str]| {
        let out = s.files.path(&format!("out{}", more.len()));
        unmix(
            &[&["export", &fit, "--to", "saelens", "--architecture", "matching-pursuit", "--out", &out], more].concat(),
        )
    };
    let error = export(&[]).expect(2).stderr;
    assert!(error.contains("saelens: ") && error.contains("`resid`") && error.contains("name the hook"), "{error}");
    let other = export(&["--hook", "blocks.1.hook_resid_post", "--layer", "2"]).expect(0).stderr;
    assert!(other.contains("of layer 1, but layer 2 was asked for"), "{other}");
}

#[test]
fn the_layer_that_the_activations_name_is_read_unless_another_one_is_asked_for() {
    let s = setup();
    let fit = fit_at(&s, "neurons");
    assert_eq!(run_of(&fit)["input"]["origin"], serde_json::json!({"model": "tiny", "layer": 1, "site": "neurons"}));
    // They are known without the file.
    std::fs::remove_file(s.files.path("neurons.safetensors")).expect("removed");

    let down = vec![1.0; WIDTH * NEURONS];
    let name = |layer: u32| format!("model.layers.{layer}.mlp.down_proj.weight");
    let (first, second) = (name(0), name(1));
    let layers = s
        .files
        .tensors("layers.safetensors", &[(&first, &down, &[WIDTH, NEURONS]), (&second, &down, &[WIDTH, NEURONS])]);
    let lens = |fit: &str, args: &[&str]| {
        unmix(&[&["lens", fit, "--model", &layers, "--model", &s.rest, "--json"][..], args].concat())
    };
    let layer = |run: &Run| run.json()["tensors"]["layer"].clone();
    let own = lens(&fit, &[]).expect(0);
    assert_eq!((layer(&own), own.stderr.as_str()), (1.into(), ""));
    for other in [["--layer", "0"], ["--down-proj", &first]] {
        let run = lens(&fit, &other).expect(0);
        assert_eq!(layer(&run), 0, "{other:?}");
        assert!(run.stderr.contains("of activations of layer 1, but layer 0 was asked for"), "{}", run.stderr);
    }
    assert!(lens(&s.fit, &[]).expect(2).stderr.contains("--layer"), "these activations name no layer");
}

#[test]
fn single_neurons_and_token_ids() {
    let s = setup();
    let run = unmix(&["lens", &s.fit, "--model", &s.down, "--model", &s.rest, "--neuron", "9,0"]).expect(0);
    assert!(run.stdout.contains("neuron 9") && run.stdout.contains("--vocabulary FILE"), "{}", run.stdout);
    let args = ["lens", &s.fit, "--model", &s.down, "--model", &s.rest, "--neuron", "9,0", "--json", "--norm", "none"];
    let json = unmix(&args).expect(0).json();
    assert_eq!(json["features"], serde_json::json!([]));
    // Neuron 9 writes −1 into dimension 1.
    let (first, second) = (&json["neurons"][0], &json["neurons"][1]);
    assert_eq!((&first["neuron"], &first["suppressed"][0]["token_id"]), (&9.into(), &4.into()));
    assert_eq!((&second["neuron"], &second["promoted"][0]["token_id"]), (&0.into(), &3.into()));
    assert_eq!((&first["mean_logit"], &first["promoted"][0]["text"]), (&(-0.5).into(), &serde_json::Value::Null));
}

#[test]
fn a_tokenizer_gives_words_to_lens_and_features() {
    let s = setup();
    let vocab: serde_json::Map<String, serde_json::Value> = ["Ġred", "Ġgreen", "Ġblue", "RED", "GREEN", "BLUE"]
        .iter()
        .enumerate()
        .map(|(id, text)| ((*text).to_owned(), id.into()))
        .collect();
    let tokenizer = serde_json::json!({"version": "1.0", "added_tokens": [],
        "model": {"type": "BPE", "vocab": vocab, "merges": []}});
    let tokenizer = s.files.write("tokenizer.json", tokenizer.to_string());
    let run = unmix(&["lens", &s.fit, "--model", &s.down, "--model", &s.rest, "--vocabulary", &tokenizer]).expect(0);
    assert!(run.stdout.contains("GREEN  ·green"), "{}", run.stdout);
    let run = unmix(&["features", &s.fit, "--vocabulary", &tokenizer]).expect(0);
    assert!(run.stdout.contains("green ×10"), "{}", run.stdout);
}

#[test]
fn what_is_missing_is_told_with_its_flag() {
    let s = setup();
    let lens = |args: &[&str]| unmix(&[&["lens", &s.fit][..], args].concat()).expect(2).stderr;
    assert!(lens(&[]).contains("--model PATH is needed"));
    assert!(lens(&["--model", &s.down]).contains("no unembedding found"));
    assert!(lens(&["--model", &s.rest]).contains("--down-proj NAME"));
    let both = ["--model", &s.down, "--model", &s.rest];
    let with = |args: &[&str]| lens(&[&both[..], args].concat());
    assert!(with(&["--feature", "3"]).contains("features 0 to 2"));
    assert!(with(&["--neuron", "24"]).contains("neurons 0 to 23"));
    assert!(with(&["--down-proj", "unembedding"]).contains("a side of 24"));
    assert!(with(&["--norm-epsilon", "-1"]).contains("epsilon"));
    let other = s.files.write("other.json", serde_json::json!(vec!["a"; 5000]).to_string());
    assert!(with(&["--vocabulary", &other]).contains("5000 entries, 6 of them among the 6 tokens of the unembedding"));
    let twice = lens(&["--model", &s.down, "--model", &s.down]);
    assert!(twice.contains("\"down_proj\" is in"), "{twice}");
}
