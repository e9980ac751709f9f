//! Tokens that are left out of a fit, and all that comes after it.

use serde_json::Value;

use crate::harness::{Files, NEURONS, PROMPT, TOKENS, run_of, tensor, unmix, values};

/// Prompts, and tokens of each behind its begin token.
const PROMPTS: usize = 250;
const BEHIND: usize = 6;
/// The id of begin tokens.
const BEGIN: i32 = 99;

/// 250 prompts, each with a begin token of a hundred times the usual norm, and the same without those.
struct Begins {
    files: Files,
    with: String,
    without: String,
}

/// The columns of some tokens.
#[derive(Default)]
struct Columns {
    x: Vec<f32>,
    ids: Vec<i32>,
    prompts: Vec<i32>,
    positions: Vec<i32>,
}

impl Columns {
    fn push(&mut self, x: impl IntoIterator<Item = f32>, id: i32, prompt: usize, position: usize) {
        self.x.extend(x);
        self.ids.push(id);
        self.prompts.push(prompt as i32);
        self.positions.push(position as i32);
    }

    fn write(&self, files: &Files, name: &str) -> String {
        let columns = [("token_ids", &self.ids[..]), ("prompt_ids", &self.prompts), ("positions", &self.positions)];
        files.with_columns(name, &[("activations", &self.x, &[self.ids.len(), NEURONS])], &columns)
    }
}

impl Begins {
    fn new() -> Begins {
        let (files, usual) = (Files::new(), values());
        let (mut with, mut without) = (Columns::default(), Columns::default());
        for prompt in 0..PROMPTS {
            let begin =
                |j: usize| 230.0 * (((j * 37) % 11) as f32 - 5.0) * (1.0 + ((prompt * 13 + j) % 7) as f32 / 100.0);
            with.push((0..NEURONS).map(begin), BEGIN, prompt, 0);
            for place in 0..BEHIND {
                let row = (prompt * 31 + place * 7) % TOKENS;
                let stretch = 1.0 + ((prompt + place) % 5) as f32 / 10.0;
                let x = || usual[row * NEURONS..(row + 1) * NEURONS].iter().map(move |v| v * stretch);
                with.push(x(), (row % 3) as i32, prompt, place + 1);
                without.push(x(), (row % 3) as i32, prompt, place + 1);
            }
        }
        let paths = (with.write(&files, "with.safetensors"), without.write(&files, "without.safetensors"));
        Begins { files, with: paths.0, without: paths.1 }
    }

    fn fit(&self, file: &str, name: &str, options: &[&str]) -> String {
        self.files.fit(file, name, &[&["-k", "6", "-p", "0.3", "--max-iterations", "12"], options].concat())
    }
}

fn of_fit(fit: &str, name: &str) -> (Vec<usize>, Vec<f64>) {
    tensor(&format!("{fit}/factorization.safetensors"), name)
}

#[test]
fn what_is_left_of_250_begin_tokens_is_the_fit_of_the_file_without_them_to_the_bit() {
    let begins = Begins::new();
    let plain = begins.fit(&begins.without, "plain", &[]);
    let rows: Vec<f64> =
        (0..PROMPTS * (BEHIND + 1)).filter(|row| row % (BEHIND + 1) > 0).map(|row| row as f64).collect();
    let ways: [(&str, &[&str], Value); 3] = [
        ("norm", &["--max-norm", "10x"], serde_json::json!({"max_norm": "10x"})),
        ("first", &["--skip-first", "1"], serde_json::json!({"skip_first": 1})),
        ("ids", &["--skip-token-ids", "77,99"], serde_json::json!({"skip_token_ids": [77, 99]})),
    ];
    for (name, options, filter) in ways {
        let fit = begins.fit(&begins.with, name, options);
        for part in ["features", "coefficients", "token_ids", "prompt_ids", "positions"] {
            assert_eq!(of_fit(&fit, part), of_fit(&plain, part), "{name}: {part}");
        }
        assert_eq!(of_fit(&fit, "rows").1, rows, "{name}");
        let input = &run_of(&fit)["input"];
        assert_eq!(input["filter"], filter);
        assert_eq!(input["fingerprint"], run_of(&plain)["input"]["fingerprint"], "{name}");
        assert_eq!((&input["stored_tokens"], &input["tokens"]), (&1750.into(), &1500.into()));
    }
    let bytes = std::fs::read(format!("{plain}/factorization.safetensors")).expect("read");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a file");
    assert!(file.tensor("rows").is_err(), "nothing was left out");
}

#[test]
fn begin_tokens_of_a_hundred_times_the_norm_are_told_with_what_to_do() {
    let begins = Begins::new();
    let words = ["250 tokens of more than 10 times the median norm", "of the energy", "max-norm 10x"];
    let out = begins.files.path("fit");
    let fit = |options: &[&str]| {
        let args =
            ["fit", &begins.with, "-k", "3", "--max-iterations", "1", "--engine", "cpu", "--force", "--out", &out];
        unmix(&[&args[..], options].concat()).expect(0)
    };
    let (warned, inspected) = (fit(&[]).stderr, unmix(&["inspect", &begins.with]).expect(0).stdout);
    for text in [&warned, &inspected] {
        words.iter().for_each(|word| assert!(text.contains(word), "no {word:?} in {text}"));
    }
    let run = fit(&["--max-norm", "10x"]);
    assert!(!run.stderr.contains("median norm"), "{}", run.stderr);
    assert!(run.stderr.contains("leaving out 250 of 1,750 rows: 250 by their norm (above "), "{}", run.stderr);
    let inspected = unmix(&["inspect", &begins.with, "--max-norm", "10x", "--skip-token-ids", "0"]).expect(0).stdout;
    for words in ["rows: 500 by their token id, 250 by their norm (above", "1,000 tokens × 24"] {
        assert!(inspected.contains(words), "no {words:?} in {inspected}");
    }
    let json = unmix(&["inspect", &begins.with, "--skip-first", "2", "--json"]).expect(0).json();
    assert_eq!((&json["left_out"]["by_place"], &json["tokens"]), (&500.into(), &1250.into()));
}

#[test]
fn what_comes_after_a_fit_reads_the_activations_as_the_fit_did() {
    let begins = Begins::new();
    let fit = begins.fit(&begins.with, "fit", &["--max-norm", "10x"]);
    let plain = begins.fit(&begins.without, "plain", &[]);
    // Encoding the activations of the fit.
    let (out, expected) = (begins.files.path("own.safetensors"), begins.files.path("plain.safetensors"));
    unmix(&["encode", &fit, "--out", &out, "--engine", "cpu", "-q"]).expect(0);
    unmix(&["encode", &plain, "--out", &expected, "--engine", "cpu", "-q"]).expect(0);
    for part in ["coefficients", "squared_residuals", "prompt_ids"] {
        assert_eq!(tensor(&out, part), tensor(&expected, part), "{part}");
    }
    assert_eq!(tensor(&out, "rows").1, of_fit(&fit, "rows").1);
    // An encoder for another tool is fitted to them, here and where they have been moved to.
    let moved = begins.files.path("moved.safetensors");
    std::fs::copy(&begins.with, &moved).expect("copied");
    for (name, options) in [("a", &[][..]), ("b", &["--activations", moved.as_str()])] {
        let args = ["export", &fit, "--to", "saelens", "--out", &begins.files.path(name)];
        let run = unmix(&[&args[..], options].concat()).expect(0);
        assert!(run.stdout.contains("Relative error of the affine encoder"), "{}", run.stdout);
    }
    // Other activations are read as the options say.
    let others = begins.files.path("others.safetensors");
    unmix(&["encode", &fit, &begins.with, "--out", &others, "--engine", "cpu", "-q"]).expect(0);
    assert_eq!(tensor(&others, "coefficients").0, [1750, 6]);
    unmix(&["encode", &fit, &begins.with, "--skip-first", "3", "--out", &others, "--engine", "cpu", "-q", "--force"])
        .expect(0);
    assert_eq!(tensor(&others, "coefficients").0, [1000, 6]);
    let refused = |args: &[&str], words: &[&str]| begins.files.refused(args, words);
    refused(
        &["encode", &fit, "--skip-first", "1", "--out", &begins.files.path("x")],
        &["--skip-first", "leave the option out"],
    );
    let plain_file = begins.files.npy("plain.npy", &values(), NEURONS);
    refused(
        &[
            "export",
            &fit,
            "--to",
            "saelens",
            "--activations",
            &plain_file,
            "--skip-first",
            "1",
            "--out",
            &begins.files.path("x"),
        ],
        &["plain.npy", "no column `prompt_ids`"],
    );
    refused(
        &["fit", &begins.with, "-k", "2", "--max-norm", "0x", "--out", "x"],
        &["--max-norm", "ten times the median"],
    );
}

#[test]
fn concepts_are_scored_on_the_tokens_that_were_kept() {
    let begins = Begins::new();
    let label = |prompt: usize| format!("{{\"id\": {prompt}, \"concept\": \"{}\"}}\n", ["red", "neutral"][prompt % 2]);
    let labels = begins.files.write("labels.jsonl", (0..PROMPTS).map(label).collect::<String>());
    let scores = |fit: &str| {
        let args = ["concepts", fit, "--labels", &labels, "--permutations", "20", "--json"];
        let mut json = unmix(&args).expect(0).json();
        for key in ["fit", "activations"] {
            json[key] = Value::Null;
        }
        json
    };
    let fit = begins.fit(&begins.with, "fit", &["--skip-token-ids", "99"]);
    assert_eq!(scores(&fit), scores(&begins.fit(&begins.without, "plain", &[])));
    let run =
        unmix(&["report", &fit, "--labels", &labels, "--permutations", "20", "--out", &begins.files.path("r.html")]);
    run.expect(0);
}

#[test]
fn texts_are_those_of_the_rows_of_the_files() {
    let begins = Begins::new();
    let fit = begins.fit(&begins.with, "fit", &["--max-norm", "10x"]);
    let per_row: Vec<String> = (0..PROMPTS * (BEHIND + 1)).map(|row| format!(" w{row}")).collect();
    let kept: Vec<&String> = (0..per_row.len()).filter(|row| row % (BEHIND + 1) > 0).map(|row| &per_row[row]).collect();
    let all = begins.files.write("all.json", serde_json::to_string(&per_row).expect("JSON"));
    let some = begins.files.write("some.json", serde_json::to_string(&kept).expect("JSON"));
    let shown =
        |tokens: &str| unmix(&["features", &fit, "--json", "--tokens", tokens, "--context", "2"]).expect(0).json();
    let json = shown(&all);
    assert_eq!(json["features"], shown(&some)["features"]);
    for feature in json["features"].as_array().expect("features") {
        for context in feature["contexts"].as_array().expect("contexts") {
            let row = context["row"].as_u64().expect("a row");
            assert_eq!(context["word"], format!(" w{row}"));
            assert_eq!(context["prompt"], row / 7);
        }
    }
    let few = begins.files.write("few.json", "[\"a\"]");
    begins.files.refused(&["features", &fit, "--tokens", &few], &["few.json", "1 entries", "1750 tokens"]);
    let numbers = unmix(&["features", &fit, "--json"]).expect(0).json();
    assert_eq!(numbers["features"][0]["contexts"][0]["row"], json["features"][0]["contexts"][0]["row"]);
}

#[test]
fn shuffled_rows_are_shown_in_the_order_of_their_prompts() {
    let files = Files::new();
    let x = values();
    let (mut plain, mut shuffled) = (Columns::default(), Columns::default());
    let row = |i: usize| x[i * NEURONS..(i + 1) * NEURONS].iter().copied();
    for i in 0..TOKENS {
        // 7 and 120 have no common divisor, so each row comes once.
        let j = (i * 7 + 3) % TOKENS;
        plain.push(row(i), i as i32, i / PROMPT, i % PROMPT);
        shuffled.push(row(j), j as i32, j / PROMPT, j % PROMPT);
    }
    // The same features and coefficients for the same tokens: one iteration from random features would see the order.
    let plain = files.fit(&plain.write(&files, "plain.safetensors"), "plain", &["-k", "3", "-p", "0.34"]);
    let file = shuffled.write(&files, "shuffled.safetensors");
    let fit = files.fit(&file, "shuffled", &["-k", "3", "-p", "0.34"]);
    let words: Vec<String> = (0..TOKENS).map(|i| format!(" w{i}")).collect();
    let moved: Vec<&String> = (0..TOKENS).map(|i| &words[(i * 7 + 3) % TOKENS]).collect();
    let tokens = files.write("tokens.json", serde_json::to_string(&moved).expect("JSON"));
    let json = unmix(&["features", &fit, "--json", "--tokens", &tokens, "--context", "9"]).expect(0).json();
    for feature in json["features"].as_array().expect("features") {
        for context in feature["contexts"].as_array().expect("contexts") {
            let at = context["prompt"].as_u64().expect("a prompt") as usize * PROMPT;
            let text = ["before", "word", "after"].map(|part| context[part].as_str().expect("text")).concat();
            assert_eq!(text, words[at..at + PROMPT].concat(), "the whole prompt in its order");
            let row = context["row"].as_u64().expect("a row") as usize;
            assert_eq!(context["word"], moved[row].as_str(), "the row in the file");
        }
    }
    // A cache of prompts has the tokens in order as well.
    let out = files.path("cache");
    unmix(&["export", &fit, "--to", "delphi", "--layer", "1", "--out", &out]).expect(0);
    let out_plain = files.path("plain-cache");
    unmix(&["export", &plain, "--to", "delphi", "--layer", "1", "--out", &out_plain]).expect(0);
    let cache = |out: &str| {
        let folder = std::fs::read_dir(format!("{out}/layers.1.mlp")).expect("listed");
        let mut files: Vec<_> = folder.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        let bytes = std::fs::read(&files[0]).expect("read");
        safetensors::SafeTensors::deserialize(&bytes).expect("a file").tensor("tokens").expect("tokens").data().to_vec()
    };
    assert_eq!(cache(&out), cache(&out_plain));
    // An encoder is fitted row by row, in the order of the file.
    let run = unmix(&["export", &fit, "--to", "saelens", "--out", &files.path("sae")]).expect(0);
    assert!(run.stdout.contains("Relative error of the affine encoder"), "{}", run.stdout);
}
