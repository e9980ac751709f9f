//! Features scored on labelled prompts.

use crate::harness::{Files, NEURONS, PROMPT, Run, TOKENS, unmix, values};

/// A fit whose features are the kinds of tokens that prompts consist of, with labels to match.
struct Fitted {
    files: Files,
    fit: String,
    activations: String,
}

/// The kind of prompt `prompt`, and its concept.
const CONCEPTS: [&str; 3] = ["red", "green", "neutral"];

impl Fitted {
    fn new() -> Fitted {
        let files = Files::new();
        let activations = files.tensors("x.safetensors", &[("activations", &by_prompt(1.0), &[TOKENS, NEURONS])]);
        let fit = files.path("fit");
        unmix(&["fit", &activations, "-k", "3", "-p", "0.34", "--engine", "cpu", "--out", &fit, "-q"]).expect(0);
        Fitted { files, fit, activations }
    }

    fn labels(&self) -> String {
        let line = |prompt: usize| {
            format!("{{\"id\": {prompt}, \"concept\": {:?}, \"parent\": \"color\"}}\n", CONCEPTS[prompt % 3])
        };
        self.files.write("labels.jsonl", (0..TOKENS / PROMPT).map(line).collect::<String>())
    }

    fn concepts(&self, labels: &str, args: &[&str]) -> Run {
        unmix(&[&["concepts", &self.fit, "--labels", labels][..], args].concat())
    }
}

/// Activations whose tokens are all of the kind of their prompt.
fn by_prompt(scale: f32) -> Vec<f32> {
    let x = values();
    let row = |token: usize| {
        let (prompt, place) = (token / PROMPT, token % PROMPT);
        let like = (prompt % 3) + 3 * ((prompt + place) % (TOKENS / 3));
        x[like * NEURONS..(like + 1) * NEURONS].iter().map(move |v| v * scale)
    };
    (0..TOKENS).flat_map(row).collect()
}

#[test]
fn the_feature_for_each_concept_is_found() {
    let fitted = Fitted::new();
    let labels = fitted.labels();
    let run = fitted.concepts(&labels, &[]).expect(0);
    assert_eq!(run.stderr, "");
    for words in ["red", "green", "1.000", "Chosen on 9 prompts, scored on 6; 5 of them are neutral", "purity"] {
        assert!(run.stdout.contains(words), "no {words:?} in: {}", run.stdout);
    }
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 100), "{}", run.stdout);
    assert!(run.stdout.contains("p: share of 1,000 shuffles in which any of 3 × 2 pairs"), "{}", run.stdout);
    assert!(
        run.stdout.contains("Beyond chance (p of at most 0.05): 2 pairs, of 2 features and 2 concepts"),
        "{}",
        run.stdout
    );

    let json = fitted.concepts(&labels, &["--json", "--permutations", "19", "--purity-tokens", "5"]).expect(0).json();
    let [green, red] = &json["concepts"].as_array().expect("an array")[..] else { panic!("two concepts: {json}") };
    assert_eq!((&green["concept"], &red["concept"]), (&"green".into(), &"red".into()));
    assert_ne!(green["best_feature"], red["best_feature"]);
    for concept in [green, red] {
        assert_eq!((&concept["auc"], &concept["diff_means"]["auc"]), (&1.0.into(), &1.0.into()));
        assert!(concept["s_cd"].as_f64().expect("a number") > 1.0, "{concept}");
        let feature = &json["features"][concept["best_feature"].as_u64().expect("a number") as usize];
        assert_eq!((&feature["best_concept"], &feature["purity"]), (&concept["concept"], &1.0.into()));
    }
    assert_eq!((&json["fitted_tokens"], &json["baseline"]["permutations"]), (&true.into(), &19.into()));
    let few = fitted.concepts(&labels, &["--permutations", "5"]).expect(0);
    assert!(few.stdout.contains("at least 19 shuffles"), "{}", few.stdout);
    assert_eq!(json["level"], "concept");
}

#[test]
fn other_labels_and_levels_can_be_asked_for() {
    let fitted = Fitted::new();
    let labels = fitted.labels();
    let json = fitted.concepts(&labels, &["--json", "--level", "parent", "--permutations", "0"]).expect(0).json();
    assert_eq!((&json["concepts"][0]["concept"], &json["level"]), (&"color".into(), &"parent".into()));
    assert!(json["baseline"].is_null() && json["concepts"][0]["p_value"].is_null());

    let json = fitted.concepts(&labels, &["--json", "--neutral", "red"]).expect(0).json();
    let names: Vec<_> = json["concepts"].as_array().expect("an array").iter().map(|c| &c["concept"]).collect();
    assert_eq!(names, ["green", "neutral"]);
    let run = fitted.concepts(&labels, &["--neutral", "none"]).expect(0);
    assert!(run.stdout.contains("none is labelled \"none\""), "{}", run.stdout);

    let first = fitted.concepts(&labels, &["--json", "--seed", "1"]).expect(0).json();
    assert_eq!(first, fitted.concepts(&labels, &["--json", "--seed", "1"]).expect(0).json());
}

#[test]
fn held_out_activations_are_scored_without_purity() {
    let fitted = Fitted::new();
    let labels = fitted.labels();
    let doubled = by_prompt(2.0);
    let other = fitted.files.tensors("other.safetensors", &[("hidden", &doubled, &[TOKENS, NEURONS])]);
    let json = fitted.concepts(&labels, &["--json", "--activations", &other]).expect(0).json();
    assert_eq!((&json["fitted_tokens"], &json["concepts"][0]["auc"]), (&false.into(), &1.0.into()));
    assert!(json["features"][0]["purity"].is_null() && json["summary"]["purity_mean"].is_null());
    let run = fitted.concepts(&labels, &["--activations", &other]).expect(0);
    assert!(run.stdout.contains("No purity"), "{}", run.stdout);

    // The fitted file counts as the fitted one even after it was moved.
    let moved = fitted.files.path("moved.safetensors");
    std::fs::rename(&fitted.activations, &moved).expect("moved");
    let run = fitted.concepts(&labels, &[]).expect(2);
    for words in ["x.safetensors", "not there any more", "--activations FILE"] {
        assert!(run.stderr.contains(words), "no {words:?} in: {}", run.stderr);
    }
    let json = fitted.concepts(&labels, &["--json", "--activations", &moved]).expect(0).json();
    assert_eq!(json["fitted_tokens"], true);
}

#[test]
fn activations_that_are_not_the_fits() {
    let fitted = Fitted::new();
    let labels = fitted.labels();
    let refused = |args: &[&str], words: &[&str]| {
        let run = fitted.concepts(&labels, args).expect(2);
        words.iter().for_each(|word| assert!(run.stderr.contains(word), "no {word:?} in: {}", run.stderr));
    };
    let narrow = fitted.files.tensors("narrow.safetensors", &[("activations", &[1.0; TOKENS * 2], &[TOKENS, 2])]);
    refused(&["--activations", &narrow], &["narrow.safetensors", "2 neurons", "have 24", "same layer"]);
    refused(&["--activations", &fitted.files.path("none.npy")], &["none.npy", "no such file"]);
    let mut x = by_prompt(1.0);
    x[3 * NEURONS] = f32::NAN;
    let bad = fitted.files.tensors("bad.safetensors", &[("activations", &x, &[TOKENS, NEURONS])]);
    refused(&["--activations", &bad], &["bad.safetensors", "token 3, neuron 0", "NaN"]);

    x[3 * NEURONS] = 0.25;
    fitted.files.tensors("x.safetensors", &[("activations", &x, &[TOKENS, NEURONS])]);
    refused(&[], &["x.safetensors", "changed since", "fingerprint", "--activations FILE"]);
}

#[test]
fn labels_are_joined_by_their_ids_however_these_are_written() {
    let fitted = Fitted::new();
    let by_number = fitted.concepts(&fitted.labels(), &["--json"]).expect(0).json();
    assert_eq!(by_number["labels_by"], "id");
    // In another order than that of the prompts.
    let prompts = || (0..TOKENS / PROMPT).map(|i| (i * 7) % (TOKENS / PROMPT));
    let lines = |id: fn(usize) -> String| -> String {
        prompts()
            .map(|p| format!("{{\"id\": {}, \"concept\": {:?}, \"parent\": \"color\"}}\n", id(p), CONCEPTS[p % 3]))
            .collect()
    };
    let csv: String = prompts().map(|p| format!("{p}.0,{},color\n", CONCEPTS[p % 3])).collect();
    for (name, content) in [
        ("number.jsonl", lines(|p| p.to_string())),
        ("text.jsonl", lines(|p| format!("\"{p}\""))),
        ("float.jsonl", lines(|p| format!("{p}.0"))),
        ("float.csv", format!("id,concept,parent\n{csv}")),
    ] {
        let json = fitted.concepts(&fitted.files.write(name, content), &["--json"]).expect(0).json();
        for (concept, expected) in json["concepts"].as_array().expect("an array").iter().zip([1.0, 1.0]) {
            assert_eq!((&concept["auc"], &json["labels_by"]), (&expected.into(), &"id".into()), "{name}");
        }
    }
    let named = fitted.files.write("named.jsonl", lines(|p| format!("\"prompt-{p}\"")));
    let run = fitted.concepts(&named, &[]).expect(2);
    assert!(
        run.stderr.contains("line 1: the id is \"prompt-0\"") && run.stderr.contains("prompt_ids"),
        "{}",
        run.stderr
    );
}

#[test]
fn labels_without_ids_are_said_to_go_by_their_order() {
    let fitted = Fitted::new();
    let list: Vec<&str> = (0..TOKENS / PROMPT).map(|p| CONCEPTS[p % 3]).collect();
    let labels = fitted.files.write("labels.json", serde_json::to_string(&list).expect("JSON"));
    let run = fitted.concepts(&labels, &[]).expect(0);
    assert!(run.stdout.contains("The labels have no ids: the first is taken for prompt 0"), "{}", run.stdout);
    assert_eq!(fitted.concepts(&labels, &["--json"]).expect(0).json()["labels_by"], "order");
    let more = fitted.files.write("more.json", serde_json::to_string(&[&list[..], &["red"]].concat()).expect("JSON"));
    let run = fitted.concepts(&more, &[]).expect(2);
    assert!(run.stderr.contains("16 labels without ids") && run.stderr.contains("number 14"), "{}", run.stderr);
}

#[test]
fn labels_that_do_not_fit() {
    let fitted = Fitted::new();
    let refused = |name: &str, content: &str, args: &[&str], words: &[&str]| {
        let run = fitted.concepts(&fitted.files.write(name, content), args).expect(2);
        words.iter().for_each(|word| assert!(run.stderr.contains(word), "no {word:?} in: {}", run.stderr));
    };
    refused("few.json", r#"["a", "b"]"#, &[], &["few.json", "no label for prompt 2 (row 16"]);
    refused("same.csv", &format!("concept\n{}", "a\n".repeat(15)), &[], &["same.csv", "all 15 prompts", "\"a\""]);
    refused("bad.jsonl", "{\"concept\": \"a\"}\n{", &[], &["bad.jsonl", "line 2", "not valid JSON"]);
    refused(
        "flat.csv",
        &format!("concept\n{}", "a\nb\nc\n".repeat(5)),
        &["--level", "parent"],
        &["flat.csv", "parent"],
    );
    let run = unmix(&["concepts", &fitted.fit, "--labels", &fitted.files.path("none.csv")]).expect(2);
    assert!(run.stderr.contains("none.csv") && run.stderr.contains("no such file"), "{}", run.stderr);
    let run = fitted.concepts(&fitted.labels(), &["--purity-tokens", "0"]).expect(2);
    assert!(run.stderr.contains("--purity-tokens") && run.stderr.contains("at least 1"), "{}", run.stderr);
}

#[test]
fn activations_without_prompts() {
    let files = Files::new();
    let file = files.npy("x.npy", &values(), NEURONS);
    let fit = files.fit(&file, "fit", &["-k", "3"]);
    let labels = files.write("labels.json", r#"["a", "b"]"#);
    let run = unmix(&["concepts", &fit, "--labels", &labels]).expect(2);
    assert!(run.stderr.contains("x.npy") && run.stderr.contains("no column `prompt_ids`"), "{}", run.stderr);
}

#[test]
fn labels_that_mean_nothing_are_beyond_chance_for_no_feature() {
    let fitted = Fitted::new();
    // Five labels in an order that has nothing to do with the kinds of prompt.
    let line = |prompt: usize| format!("{{\"id\": {prompt}, \"concept\": \"c{}\"}}\n", (prompt * 7 / 3) % 5);
    let labels = fitted.files.write("random.jsonl", (0..TOKENS / PROMPT).map(line).collect::<String>());
    let json = fitted.concepts(&labels, &["--json"]).expect(0).json();
    assert_eq!(json["detected"], serde_json::json!([]));
    let page = fitted.files.path("report.html");
    let args = ["report", &fitted.fit, "--labels", &labels, "--out", &page, "--engine", "cpu", "-q"];
    let run = unmix(&args).expect(0);
    assert!(run.stdout.contains("one stands beside 0 of 3 features"), "{}", run.stdout);
}
