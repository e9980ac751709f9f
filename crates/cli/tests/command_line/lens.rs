//! `unmix lens`, on a fit of three features and weights by which their tokens can be told.

use crate::harness::{Files, NEURONS, unmix};

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
    // Odd neurons of the activations are negative.
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
            None,
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
    assert!(!run.stdout.contains(['\u{1b}', '\u{202e}']) && run.stdout.lines().count() == 1 + 6 + 3, "{}", run.stdout);
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
        // The direction has one dimension, so RMS norm makes it √width, times the gain of 2; and the mean is that of six.
        let expected = 2.0 * (WIDTH as f64).sqrt() * (2.0 - 0.5);
        let logit = promoted[0]["logit"].as_f64().expect("a number");
        assert!((logit - expected).abs() < 0.05, "{logit} for {expected}");
    }
    assert_eq!(json["tensors"]["down_projection"], "down_proj");
    assert_eq!(json["tensors"]["norm"], "rms");
}

#[test]
fn tokens_that_the_vocabulary_lacks_are_shown_as_numbers() {
    let s = setup();
    let padded = s.files.write("short.json", serde_json::json!([" red", " green", " blue", " RED"]).to_string());
    let model = ["--model", &s.down, "--model", &s.rest, "--vocabulary", &padded];
    let run = unmix(&[&["lens", &s.fit][..], &model].concat()).expect(0);
    assert!(run.stdout.contains("[id 4]  ·green") && run.stdout.contains("[id 5]  ·blue"), "{}", run.stdout);
    let json = unmix(&[&["lens", &s.fit, "--json"][..], &model].concat()).expect(0).json();
    let promoted = json["features"].as_array().expect("an array").iter().map(|f| &f["promoted"][0]);
    assert!(promoted.clone().any(|token| token["token_id"] == 5 && token["text"].is_null()), "{json}");
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
