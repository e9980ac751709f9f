//! `unmix report`: the page, what is on it, and that no text in it runs as code.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Files, NEURONS, PROMPT, TOKENS, unmix, values};

/// Width of the residual stream, and tokens of the vocabulary.
const WIDTH: usize = 5;
const WORDS: usize = 6;

/// A fit of twelve features, so that there is a tree.
fn fitted() -> (Files, String) {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let fit = files.fit(&file, "fit", &["-k", "12", "-p", "0.25", "--max-iterations", "5"]);
    (files, fit)
}

/// What the command says as JSON, and the page.
fn reported(files: &Files, fit: &str, options: &[&str]) -> (Value, Page) {
    let out = files.path("report.html");
    let args = ["report", fit, "--out", &out, "--force", "--engine", "cpu", "-q", "--json"];
    let json = unmix(&[&args[..], options].concat()).expect(0).json();
    let page = Page::read(&out);
    assert_eq!((&json["out"], &json["bytes"]), (&out.into(), &page.text.len().into()));
    (json, page)
}

struct Page {
    text: String,
    data: Value,
}

impl Page {
    fn read(path: impl AsRef<Path>) -> Page {
        let text = std::fs::read_to_string(path).expect("read");
        let (_, rest) = text.split_once("<script type=\"application/json\" id=\"data\">").expect("data");
        let (data, _) = rest.split_once("</script>").expect("an end");
        let data = serde_json::from_str(data).expect("JSON");
        let page = Page { text, data };
        // There are only the data and the page's own script, whatever the tokens are.
        assert_eq!((page.text.matches("<script").count(), page.text.matches("</script").count()), (2, 2));
        assert!(page.text.starts_with("<!doctype html>") && page.text.contains("Content-Security-Policy"));
        page
    }

    /// All words of features.
    fn words(&self) -> Vec<&str> {
        let words = features(self).iter().flat_map(|feature| feature["words"].as_array().expect("an array"));
        words.map(|word| word["word"].as_str().expect("a word")).collect()
    }

    /// All tokens of contexts.
    fn tokens(&self) -> Vec<&str> {
        let strings = self.data["strings"].as_array().expect("an array");
        strings.iter().map(|token| token.as_str().expect("a token")).collect()
    }
}

fn features(page: &Page) -> &[Value] {
    page.data["features"].as_array().expect("an array")
}

/// Labels of all prompts, `name(prompt)` each.
fn labels(files: &Files, name: impl Fn(usize) -> String) -> String {
    let line =
        |prompt| serde_json::json!({"id": prompt, "concept": name(prompt), "parent": "color"}).to_string() + "\n";
    files.write("labels.jsonl", (0..TOKENS / PROMPT).map(line).collect::<String>())
}

/// Weights of a model of `neurons` neurons in one file: neuron j writes into dimension j / 8, which is token j / 8.
fn model(files: &Files, neurons: usize) -> String {
    let one = |is: bool| if is { 1.0 } else { 0.0 };
    let down: Vec<f32> = (0..WIDTH * neurons).map(|at| one(at % neurons / 8 == at / neurons)).collect();
    let unembedding: Vec<f32> = (0..WORDS * WIDTH).map(|at| one(at / WIDTH == at % WIDTH)).collect();
    files.write("config.json", r#"{"model_type": "llama"}"#);
    files.tensors(
        "model.safetensors",
        &[
            ("down_proj", &down, &[WIDTH, neurons]),
            ("unembedding", &unembedding, &[WORDS, WIDTH]),
            ("final_norm", &[1.0; WIDTH], &[WIDTH]),
        ],
    )
}

#[test]
fn words_are_those_of_tokens_or_of_a_vocabulary_or_numbers() {
    let (files, fit) = fitted();
    let vocabulary = files.write("vocab.json", r#"{"Ġred": 0, "Ġgreen": 1, "Ġblue": 2}"#);
    let tokens = files.tokens();
    for (options, from, words) in [
        (&["--tokens", &tokens][..], "tokens", ["red", "green", "blue"]),
        (&["--vocabulary", &vocabulary], "vocabulary", ["red", "green", "blue"]),
        (&[], "token_ids", ["0", "1", "2"]),
    ] {
        let (json, page) = reported(&files, &fit, options);
        assert_eq!((&json["words_from"], &json["features"], &json["lens"]), (&from.into(), &12.into(), &false.into()));
        assert_eq!((&json["concepts"], &json["levels"]), (&0.into(), &serde_json::json!([6])));
        assert!(page.words().iter().all(|word| words.contains(word)), "{:?}", page.words());
        for word in words {
            assert!(page.words().contains(&word) && page.tokens().contains(&format!(" {word}").as_str()), "{word}");
        }
        assert!(features(&page).iter().all(|feature| feature["promoted"] == serde_json::json!([])));
        assert_eq!(page.data["title"], "fit");
    }
    // The same page every time.
    let text = |options: &[&str]| reported(&files, &fit, options).1.text;
    assert!(text(&["--tokens", &tokens]) == text(&["--tokens", &tokens]));
    assert_eq!(files.names(), ["fit", "report.html", "tokens.json", "vocab.json", "x.safetensors"]);
}

#[test]
fn contexts_and_their_width_are_as_asked_for() {
    let (files, fit) = fitted();
    // Least and most tokens of a context. There are fewer at the ends of a prompt of eight tokens.
    for (contexts, window, least, most) in
        [("3", "1", 2, 3), ("0", "2", 0, 0), ("2", "18446744073709551615", PROMPT, PROMPT)]
    {
        let (_, page) = reported(&files, &fit, &["--contexts", contexts, "--window", window]);
        let contexts: usize = contexts.parse().expect("a number");
        let found = |feature: &Value| feature["contexts"].as_array().expect("an array").clone();
        assert!(features(&page).iter().all(|feature| found(feature).len() <= contexts));
        let widths = features(&page).iter().flat_map(found).map(|c| c["t"].as_array().expect("an array").len());
        let widths: Vec<usize> = widths.collect();
        assert!(widths.iter().all(|width| (least..=most).contains(width)), "{widths:?}");
        assert_eq!(widths.iter().max().copied().unwrap_or(0), most);
    }
    reported(&files, &fit, &["--contexts", "18446744073709551615"]);
}

#[test]
fn labels_and_weights_add_concepts_and_promoted_tokens() {
    let (files, fit) = fitted();
    let names = ["red things", "green things", "neutral"];
    let labels = labels(&files, |prompt| names[prompt % 3].to_owned());
    let model = model(&files, NEURONS);
    let vocabulary = files.write("vocab.json", r#"["Ġred", "Ġgreen", "Ġblue", "Ġup", "Ġdown", "Ġcharm"]"#);
    let options = ["--labels", &labels, "--model", &model, "--vocabulary", &vocabulary, "--title", "A <b>title</b>"];
    let (json, page) = reported(&files, &fit, &options);
    assert_eq!((&json["lens"], &json["concepts"]), (&true.into(), &2.into()));
    let mut concepts: Vec<&str> = page.data["concepts"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|c| c["concept"].as_str().expect("a name"))
        .collect();
    concepts.sort_unstable();
    assert_eq!(concepts, ["green things", "red things"]);
    assert!(page.data["concepts"].as_array().expect("an array").iter().all(|c| c["parent"] == "color"));
    // Only tokens that random directions do not reach are listed.
    let chance = |list: &str| page.data["lens_chance"][list].as_f64().expect("a number");
    assert!(chance("promoted") > 0.0 && chance("suppressed") < 0.0);
    let listed = |page: &Page| -> Vec<(f64, String)> {
        let lists = features(page).iter().flat_map(|feature| [&feature["promoted"], &feature["suppressed"]]);
        let tokens = lists.flat_map(|list| list.as_array().expect("an array").clone());
        tokens
            .map(|t| (t["logit"].as_f64().expect("a number"), t["text"].as_str().expect("a text").to_owned()))
            .collect()
    };
    let tokens = listed(&page);
    assert!(!tokens.is_empty());
    for (logit, text) in tokens {
        assert!(logit > chance("promoted") || logit < chance("suppressed"), "{text}: {logit}");
        assert!([" blue", " charm", " down", " green", " red", " up"].contains(&text.as_str()), "{text:?}");
    }
    assert!(features(&page).iter().any(|feature| feature["contexts"][0]["prompt_label"] == "red things"));
    // Without a vocabulary, tokens are numbers.
    let (_, page) = reported(&files, &fit, &["--model", &model]);
    assert!(listed(&page).iter().all(|(_, text)| text.starts_with("[id ")) && !listed(&page).is_empty());

    let out = files.path("report.html");
    let args = [&["report", &fit, "--out", &out, "--force", "--engine", "cpu", "-q"][..], &options].concat();
    let run = unmix(&args).expect(0);
    for words in ["in contexts", "through the model's weights", "scored on labelled prompts", "report.html"] {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
    let run = unmix(&["report", &fit, "--out", &out, "--force", "--engine", "cpu", "-q"]).expect(0);
    for words in ["--model PATH", "--labels FILE", "--vocabulary FILE"] {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
}

#[test]
fn a_second_fit_is_matched_over_the_same_neurons_or_over_the_same_tokens() {
    let (files, fit) = fitted();
    let tokens = files.tokens();
    let other = files.path("other");
    let x = files.path("x.safetensors");
    unmix(&["fit", &x, "--rank", "5", "--seed", "1", "--out", &other, "--engine", "cpu", "-q"]).expect(0);
    let (json, page) = reported(&files, &fit, &["--tokens", &tokens, "--beside", &other]);
    assert_eq!(json["beside"]["matched_by"], "cosine");
    let beside = &page.data["beside"];
    assert_eq!((&beside["title"], &beside["rank"], &beside["by"]), (&"other".into(), &5.into(), &"cosine".into()));
    let pairs = beside["pairs"].as_array().expect("an array");
    assert!(!pairs.is_empty() && pairs.len() <= 5);
    assert!(pairs.is_sorted_by(|a, b| a["likeness"].as_f64() >= b["likeness"].as_f64()));
    let number = |pair: &Value, name: &str| pair[name].as_u64().expect("a number");
    assert!(pairs.iter().all(|pair| number(pair, "feature") < 12 && number(pair, "other") < 5));
    assert!(beside["features"].as_array().expect("an array").iter().all(|f| f["contexts"].as_array().is_some()));

    // Other neurons: the coefficients over the same tokens say what belongs together. Other tokens too: nothing does.
    let narrow: Vec<f32> = (0..TOKENS * 7).map(|i| ((i * 37) % 11) as f32).collect();
    let narrow = files.tensors("narrow.safetensors", &[("activations", &narrow, &[TOKENS, 7])]);
    let fit_narrow = |name: &str, options: &[&str]| {
        let out = files.path(name);
        let args = ["fit", &narrow, "--rank", "2", "-p", "0.5", "--out", &out, "--engine", "cpu", "-q"];
        unmix(&[&args[..], options].concat()).expect(0);
        out
    };
    let same_tokens = fit_narrow("same-tokens", &[]);
    let (json, _) = reported(&files, &fit, &["--tokens", &tokens, "--beside", &same_tokens]);
    assert_eq!(json["beside"]["matched_by"], "correlation");
    // If tokens were left out of one fit, those that both have say it.
    let fewer = fit_narrow("fewer", &["--skip-first", "1"]);
    let (json, _) = reported(&files, &fit, &["--tokens", &tokens, "--beside", &fewer]);
    assert_eq!(json["beside"]["matched_by"], "correlation");
    let apart: Vec<f32> = (0..(TOKENS - PROMPT) * 7).map(|i| ((i * 37) % 11) as f32).collect();
    let apart = files.npy("apart.npy", &apart, 7);
    let apart = files.fit(&apart, "apart", &["-k", "2", "-p", "0.5"]);
    let none = files.path("none.html");
    let run = unmix(&["report", &fit, "--beside", &apart, "--out", &none, "-q"]).expect(2);
    for words in ["--beside", "× 7 neurons", "over the same neurons, or over the same tokens"] {
        assert!(run.stderr.contains(words), "no {words:?} in {}", run.stderr);
    }
    assert!(!files.names().contains(&"none.html".to_owned()));
}

/// Text that would be more than text if the page contained it unchanged.
fn hostile() -> [String; 6] {
    [
        " </script><script>alert(1)</script>".to_owned(),
        " \"'><img src=x onerror=alert(1)>`${alert(1)}`".to_owned(),
        " <!--<script>alert(1)".to_owned(),
        " \u{202e}gnp.\u{2066}\u{2028}\u{2029}".to_owned(),
        " \u{0}\u{1}\u{7f}\u{85}\u{1b}[31m\r\n".to_owned(),
        " ".to_owned() + &"x".repeat(50_000),
    ]
}

#[test]
fn hostile_text_is_data_wherever_it_comes_from() {
    let (files, fit) = fitted();
    let hostile = hostile();
    let rows: Vec<&str> = (0..TOKENS).map(|i| hostile[i % hostile.len()].as_str()).collect();
    let tokens = files.write("tokens.json", serde_json::to_string(&rows).expect("JSON"));
    let vocabulary = files.write("vocab.json", serde_json::to_string(&hostile).expect("JSON"));
    let labels = labels(&files, |prompt| hostile[prompt % 3].trim().to_owned());
    let model = model(&files, NEURONS);
    let (_, plain) = reported(&files, &fit, &[]);
    let common = ["--labels", &labels, "--neutral", hostile[2].trim(), "--model", &model, "--title", &hostile[0]];
    for text in [
        &["--tokens", &tokens][..],
        &["--vocabulary", &vocabulary],
        &["--tokens", &tokens, "--vocabulary", &vocabulary],
    ] {
        let (_, page) = reported(&files, &fit, &[text, &common].concat());
        // Outside of the style and the page's own script, every angle bracket belongs to the template.
        let tags = |page: &Page| page.text.matches('<').count();
        assert_eq!(tags(&page), tags(&plain));
        for raw in ["<img", "<!--", "alert(1)</", "<script>alert", "\u{2028}", "\u{2029}", "\u{0}", "\u{1b}"] {
            assert!(!page.text.contains(raw), "{raw:?}");
        }
        assert!(page.text.contains("\\u003c/script\\u003e\\u003cscript\\u003ealert(1)"));
        assert!(page.text.contains("<title> &lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;</title>"));
        assert!(!page.text.contains(&"x".repeat(1000)) && page.text.len() < 1_000_000, "{}", page.text.len());
        // All tokens are there as data.
        for token in &hostile[..if text.len() == 2 && text[0] == "--vocabulary" { 3 } else { 5 }] {
            assert!(page.tokens().contains(&token.as_str()), "{token:?}");
        }
        let concepts = page.data["concepts"].as_array().expect("an array");
        assert!(concepts.iter().any(|concept| concept["concept"] == hostile[0].trim()), "{concepts:?}");
    }
}

#[test]
fn an_earlier_page_is_replaced_only_when_forced() {
    let (files, fit) = fitted();
    let out = files.path("report.html");
    let args = ["report", &fit, "--out", &out, "--engine", "cpu", "-q"];
    unmix(&args).expect(0);
    files.refused(&args, &["report.html", "already exists", "--force"]);
    unmix(&[&args[..], &["--force"]].concat()).expect(0);
    Page::read(&out);
    files.refused(&["report", &fit, "--out", &files.path(""), "--force"], &["is a folder", "name a file in it"]);
    let nowhere = files.path("none/report.html");
    files.refused(&["report", &fit, "--out", &nowhere], &["none/report.html", "does not exist", "create it first"]);
}

#[test]
fn a_file_that_is_no_page_is_not_replaced_even_when_forced() {
    let (files, fit) = fitted();
    let out = files.write("work.html", "years of work");
    let told = ["work.html", "will not be replaced, even when forced", "not a page that unmix wrote"];
    files.refused(&["report", &fit, "--out", &out, "--engine", "cpu", "-q", "--force"], &told);
    files.refused(&["compare", &fit, &fit, "--page", &out, "--force"], &told);
    assert_eq!(std::fs::read(&out).expect("read"), b"years of work");
}

#[test]
fn a_damaged_fit_is_refused() {
    let (files, fit) = fitted();
    let out = files.path("report.html");
    let (tensors, run) = (files.path("fit/factorization.safetensors"), files.path("fit/run.json"));
    let (bytes, record) = (std::fs::read(&tensors).expect("read"), std::fs::read(&run).expect("read"));
    let refused = |words: &[&str]| {
        for command in
            [&["report", &fit, "--out", &out][..], &["features", &fit], &["tree", &fit], &["compare", &fit, &fit]]
        {
            files.refused(command, words);
        }
    };
    for length in [0, 7, 200, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&tensors, &bytes[..length]).expect("written");
        refused(&["fit/factorization.safetensors"]);
    }
    std::fs::write(&tensors, "<html>not found</html>").expect("written");
    refused(&["fit/factorization.safetensors"]);
    std::fs::remove_file(&tensors).expect("removed");
    refused(&["factorization.safetensors is missing", "`unmix fit` wrote"]);
    std::fs::write(&tensors, &bytes).expect("written");

    let edited = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_slice(&record).expect("JSON");
        change(&mut value);
        std::fs::write(&run, value.to_string()).expect("written");
    };
    edited(&|run| run["options"]["rank"] = 11.into());
    refused(&[&fit, "rank 11", "fit again"]);
    edited(&|run| run["feature_statistics"] = serde_json::json!([]));
    refused(&[&fit, "statistics", "12 features", "fit again"]);
    edited(&|run| run["dead_features"] = serde_json::json!([12]));
    refused(&[&fit, "dead feature", "12", "fit again"]);
    edited(&|run| run["tokens"] = (1u64 << 60).into());
    refused(&[&fit, "tokens", "fit again"]);
    edited(&|run| run["relative_error"] = Value::Null);
    refused(&["fit/run.json", "fit again"]);
    edited(&|run| run["format_version"] = 99.into());
    refused(&["fit/run.json", "version 99", "use the unmix that wrote it"]);
    std::fs::write(&run, &record[..record.len() / 3]).expect("written");
    refused(&["fit/run.json", "not valid JSON"]);
}

#[test]
fn an_edited_record_of_no_consequence_breaks_nothing() {
    let (files, fit) = fitted();
    let path = files.path("fit/run.json");
    let mut run: Value = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
    run["kept_per_feature"] = u32::MAX.into();
    run["squared_norm"] = 0.into();
    run["loss_curve"] = serde_json::json!([]);
    run["best_iteration"] = u32::MAX.into();
    run["input"]["path"] = "</script><script>alert(1)</script>".into();
    run["adapter"] = "<script>".into();
    std::fs::write(&path, run.to_string()).expect("written");
    reported(&files, &fit, &[]);
}

#[test]
fn what_does_not_belong_to_the_fit_is_named_and_no_page_is_left() {
    let (files, fit) = fitted();
    let out = files.path("report.html");
    let refused = |options: &[&str], words: &[&str]| {
        files.refused(&[&["report", &fit, "--out", &out, "--engine", "cpu", "-q"][..], options].concat(), words);
    };
    let few = files.write("few.json", r#"["a", "b"]"#);
    refused(&["--labels", &few], &["few.json", "no label for prompt 2", "add it"]);
    refused(&["--tokens", &few], &["few.json", "2 entries", "120 tokens"]);
    let one = files.write("one.json", r#"["a"]"#);
    refused(&["--vocabulary", &one], &["one.json", "lacks 80 of 120 token ids", "give that of the model"]);
    refused(&["--labels", &files.path("none.csv")], &["none.csv", "no such file"]);
    let model = model(&files, NEURONS - 8);
    refused(&["--model", &model], &["model.safetensors", "24"]);
    refused(&["--model", &files.path("none")], &["none", "no such"]);
    refused(&["--model", &files.path("x.safetensors")], &["--down-proj NAME"]);
    refused(&["--ranks", "6,7"], &["--ranks 7"]);
    let labels = labels(&files, |prompt| ["red", "green", "neutral"][prompt % 3].to_owned());
    refused(&["--labels", &labels, "--purity-tokens", "0"], &["--purity-tokens"]);
    // Options that nothing would use.
    for option in [&["--layer", "12"][..], &["--down-proj", "none"], &["--norm", "rms"]] {
        refused(option, &["--model"]);
    }
    for option in [&["--neutral", "none"][..], &["--activations", "none"], &["--permutations", "5"]] {
        refused(option, &["not provided", "--labels"]);
    }
    refused(&["--skip-first", "1"], &["--skip-first", "--labels FILE"]);
    // What is wrong with other options is told before concepts are scored.
    let many = ["--labels", &labels, "--permutations", "1000000000"];
    refused(&[&many[..], &["--beside", &files.path("none")]].concat(), &["none", "no such"]);
    refused(&[&many[..], &["--ranks", "300"]].concat(), &["--ranks 300"]);
}

#[test]
fn labels_of_other_activations_are_not_put_on_the_fits_own_contexts() {
    let (files, fit) = fitted();
    let labels = labels(&files, |prompt| ["red", "green", "neutral"][prompt % 3].to_owned());
    let doubled: Vec<f32> = values().iter().map(|x| 2.0 * x).collect();
    let other = files.tensors("other.safetensors", &[("activations", &doubled, &[TOKENS, NEURONS])]);
    for (options, labelled) in [(&[][..], true), (&["--activations", &other], false)] {
        let (json, page) = reported(&files, &fit, &[&["--labels", &labels][..], options].concat());
        assert_eq!(json["concepts"], 2);
        let contexts = |feature: &Value| feature["contexts"].as_array().expect("an array").clone();
        let has_label = |context: Value| context["prompt_label"].is_string();
        assert_eq!(features(&page).iter().flat_map(contexts).any(has_label), labelled);
    }
}

#[test]
fn activations_that_moved_are_asked_for_where_concepts_need_them() {
    let (files, fit) = fitted();
    let labels = labels(&files, |prompt| ["red", "green", "neutral"][prompt % 3].to_owned());
    let moved = files.path("moved.safetensors");
    std::fs::rename(files.path("x.safetensors"), &moved).expect("moved");
    let args = ["report", &fit, "--out", &files.path("report.html"), "--labels", &labels, "--engine", "cpu", "-q"];
    files.refused(&args, &["x.safetensors", "not there any more", "--activations FILE"]);
    let (json, _) = reported(&files, &fit, &["--labels", &labels, "--activations", &moved]);
    assert_eq!(json["concepts"], 2);
    // Without labels, nothing needs them.
    reported(&files, &fit, &[]);
    std::fs::rename(&moved, files.path("x.safetensors")).expect("moved");
    let changed: Vec<f32> = values().iter().map(|v| v * 2.0).collect();
    files.tensors("x.safetensors", &[("activations", &changed, &[TOKENS, NEURONS])]);
    files.refused(&[&args[..], &["--force"]].concat(), &["x.safetensors", "changed since", "--activations FILE"]);
}
