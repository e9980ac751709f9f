//! `unmix features`: what it says about coefficients and about the health of a fit.

use serde_json::Value;

use crate::harness::{Files, NEURONS, TOKENS, tensor, unmix};

fn features(fit: &str, options: &[&str]) -> Value {
    unmix(&[&["features", fit, "--json", "--sort", "index"][..], options].concat()).expect(0).json()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

/// A fit with more features than there are kinds of tokens.
fn crowded() -> (Files, String) {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let fit = files.fit(&file, "fit", &["-k", "9", "-p", "0.34", "--init", "random", "--max-iterations", "3"]);
    (files, fit)
}

#[test]
fn distributions_are_those_of_the_coefficients_in_the_folder() {
    let (_files, fit) = crowded();
    let json = features(&fit, &[]);
    assert_eq!(json["quantiles"], serde_json::json!([0.25, 0.5, 0.75, 0.9, 0.99]));
    let (shape, y) = tensor(&format!("{fit}/factorization.safetensors"), "coefficients");
    let close =
        |value: &Value, expected: f64| (value.as_f64().expect("a number") - expected).abs() < 1e-6 * expected.max(1e-9);
    for (k, feature) in list(&json["features"]).iter().enumerate() {
        let mut active: Vec<f64> = y.iter().skip(k).step_by(shape[1]).copied().filter(|&y| y > 0.0).collect();
        active.sort_by(f64::total_cmp);
        let found = &feature["distribution"];
        assert_eq!(found["active"], active.len());
        let counts: Vec<u64> = list(&found["counts"]).iter().map(|c| c.as_u64().expect("a number")).collect();
        assert_eq!((counts.len(), counts.iter().sum::<u64>()), (32, active.len() as u64));
        let Some(&largest) = active.last() else { continue };
        assert!(close(&found["largest"], largest), "feature {k}: {found}");
        for (share, value) in [0.25, 0.5, 0.75, 0.9, 0.99].iter().zip(list(&found["quantiles"])) {
            let rank = (share * active.len() as f64).ceil() as usize;
            assert!(close(value, active[rank - 1]), "feature {k}, {share}: {value} for {}", active[rank - 1]);
        }
        // The upper half of the bins holds the coefficients above half of the largest one.
        let upper = active.iter().filter(|&&y| y > largest / 2.0).count() as u64;
        assert_eq!(counts[16..].iter().sum::<u64>(), upper, "feature {k}");
        assert_eq!(feature["dead"], active.is_empty());
    }
}

#[test]
fn health_is_that_of_the_features_in_the_folder() {
    let (_files, fit) = crowded();
    let json = features(&fit, &[]);
    let health = &json["health"];
    let path = format!("{fit}/factorization.safetensors");
    let ((_, z), (shape, y)) = (tensor(&path, "features"), tensor(&path, "coefficients"));
    let z: Vec<&[f64]> = z.chunks_exact(NEURONS).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let share = |k: usize| json["features"][k]["statistics"]["explained_share"].as_f64().expect("a number");

    let is_dead = |k: usize| y.iter().skip(k).step_by(shape[1]).all(|&y| y == 0.0);
    let (dead, alive): (Vec<usize>, Vec<usize>) = (0..z.len()).partition(|&k| is_dead(k));
    assert_eq!(health["dead"], serde_json::json!(dead));
    let mean = alive.iter().map(|&k| share(k)).sum::<f64>() / alive.len() as f64;
    let mut weak: Vec<usize> = alive.iter().copied().filter(|&k| share(k) < 0.1 * mean).collect();
    weak.sort_by(|&a, &b| share(a).total_cmp(&share(b)));
    assert_eq!(health["low_share"], serde_json::json!(weak));

    let mut copies: Vec<(usize, usize)> = Vec::new();
    for second in 0..z.len() {
        for first in 0..second {
            let cosine = dot(z[first], z[second]) / (dot(z[first], z[first]) * dot(z[second], z[second])).sqrt();
            if cosine.abs() >= 0.9 {
                copies.push((first, second));
            }
        }
    }
    let place = |pair: &Value, key: &str| pair[key].as_u64().expect("a number") as usize;
    let mut found: Vec<(usize, usize)> =
        list(&health["duplicates"]).iter().map(|pair| (place(pair, "first"), place(pair, "second"))).collect();
    copies.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, copies);
    // With three kinds of tokens and nine features, there must be copies.
    assert!(!found.is_empty());

    let users = |j: usize| alive.iter().copied().filter(|&k| z[k][j] != 0.0).collect::<Vec<usize>>();
    assert_eq!(health["used_neurons"], (0..NEURONS).filter(|&j| !users(j).is_empty()).count());
    let shared = list(&health["shared_neurons"]);
    assert!(!shared.is_empty());
    for neuron in shared {
        assert_eq!(neuron["features"], serde_json::json!(users(place(neuron, "neuron"))));
    }
}

#[test]
fn people_are_warned_of_copies_and_of_features_of_one_token() {
    let (_files, fit) = crowded();
    let run = unmix(&["features", &fit]).expect(0);
    let health = &features(&fit, &[])["health"];
    assert!(run.stdout.contains("of near copies (cosine of at least 0.9) (#"), "{}", run.stdout);
    assert!(run.stdout.contains("         Read each pair as one feature"), "{}", run.stdout);
    // Each kind of token has an id of its own.
    let identities = list(&health["token_identity"]);
    assert!(!identities.is_empty() && run.stdout.contains("for one token each"), "{}", run.stdout);
    for identity in identities {
        assert_eq!(identity["row"].as_u64().expect("a row") % 3, identity["token_id"].as_u64().expect("an id"));
        assert!(identity["share"].as_f64().expect("a share") >= 0.9);
    }
}

#[test]
fn a_healthy_fit_warns_of_nothing() {
    let files = Files::new();
    // Eight neurons for each feature: as many as each kind of token has of its own.
    let options = ["-k", "3", "-p", "0.33", "--solver", "hals"];
    let fit = files.fit(&files.activations("x.safetensors"), "fit", &options);
    let run = unmix(&["features", &fit]).expect(0);
    assert!(!run.stdout.contains("warning"), "{}", run.stdout);
    let health = &features(&fit, &[])["health"];
    for nothing in ["dead", "duplicates", "low_share", "shared_neurons"] {
        assert_eq!(health[nothing], serde_json::json!([]), "{nothing}");
    }
}

#[test]
fn features_come_in_the_order_that_is_asked_for() {
    let files = Files::new();
    let fit = files.fit(&files.activations("x.safetensors"), "fit", &["-k", "3", "-p", "0.34"]);
    let tokens = files.tokens();
    let order = |options: &[&str]| -> Vec<u64> {
        let json = unmix(&[&["features", &fit, "--json", "--tokens", &tokens][..], options].concat()).expect(0).json();
        list(&json["features"]).iter().map(|feature| feature["feature"].as_u64().expect("a number")).collect()
    };
    assert_eq!(order(&["--sort", "index"]), [0, 1, 2]);
    let reading = order(&[]);
    assert_eq!(reading, order(&["--sort", "reading"]));
    let mut sorted = reading.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 1, 2]);
    let json = features(&fit, &[]);
    let share = |k: &u64| json["features"][*k as usize]["statistics"]["explained_share"].as_f64().expect("a number");
    assert!(order(&["--sort", "share"]).is_sorted_by(|a, b| share(a) >= share(b)));
    assert_eq!(order(&["--feature", "2,0"]), [2, 0]);
}

#[test]
fn tokens_that_were_decoded_one_by_one_are_told_from_those_of_a_vocabulary() {
    let files = Files::new();
    let fit = files.fit(&files.activations("x.safetensors"), "fit", &["-k", "3", "-p", "0.34"]);
    // The two bytes of é, and a blank with an n, as a byte-level vocabulary has them, and as each decodes by itself.
    let rows =
        |kinds: [&str; 3]| serde_json::to_string(&(0..TOKENS).map(|i| kinds[i % 3]).collect::<Vec<_>>()).expect("JSON");
    let decoded = files.write("decoded.json", rows(["\u{fffd}", "\u{fffd}", " n"]));
    let run = unmix(&["features", &fit, "--tokens", &decoded]).expect(0);
    for words in ["warn: ", "decoded.json", "80 of 120 tokens", "--vocabulary tokenizer.json", "convert_ids_to_tokens"]
    {
        assert!(run.stderr.contains(words), "no {words:?} in {}", run.stderr);
    }
    let kinds = ["Ã", "©", "Ġn"];
    let vocabulary = files.write("vocab.json", serde_json::to_string(&kinds).expect("JSON"));
    let converted = files.write("converted.json", rows(kinds));
    for text in [["--tokens", converted.as_str()], ["--vocabulary", vocabulary.as_str()]] {
        let run = unmix(&[&["features", &fit][..], &text].concat()).expect(0);
        assert_eq!(run.stderr, "", "{text:?}");
        // A prompt may begin or end within the letter.
        assert!(run.stdout.contains("né"), "{text:?}: {}", run.stdout);
    }
}

#[test]
fn people_are_warned_of_dense_features_and_of_an_outlier_neuron_and_told_what_to_do() {
    let files = Files::new();
    // Neuron 5 is large at every token. Neurons of their own tell the seven kinds of tokens apart.
    let values: Vec<f32> = (0..TOKENS * NEURONS)
        .map(|at| match (at / NEURONS, at % NEURONS) {
            (token, 5) => 40.0 + (token % 11) as f32,
            (token, neuron) if neuron % 8 == token % 8 => 1.0 + ((token * neuron) % 5) as f32,
            _ => 0.0,
        })
        .collect();
    let file = files.tensors("x.safetensors", &[("activations", &values, &[TOKENS, NEURONS])]);
    let options = ["-k", "10", "-p", "0.1", "--solver", "projected-ls", "--init", "random", "--max-iterations", "20"];
    let fit = files.fit(&file, "fit", &options);
    let run = unmix(&["features", &fit]).expect(0);
    let health = &features(&fit, &[])["health"];
    assert_eq!(health["outlier_neurons"], serde_json::json!([5]), "{health}");
    assert!(run.stdout.contains("warning: neuron 5 is in ") && run.stdout.contains("outlier neuron"), "{}", run.stdout);
    assert!(run.stdout.contains("Divide each neuron by its standard deviation"), "{}", run.stdout);
    assert!(
        run.stdout.contains("warning: features are dense") && run.stdout.contains("--solver hals"),
        "{}",
        run.stdout
    );
}

#[test]
fn tokens_reach_the_terminal_without_anything_that_moves_its_cursor() {
    let files = Files::new();
    let fit = files.fit(&files.activations("x.safetensors"), "fit", &["-k", "3", "-p", "0.34"]);
    // Each of these texts leaves a trace, because rounding decides which two of the three features the tree joins.
    let hostile = [" a\u{1b}[2J\u{7}", " \u{1b}[2J\u{202e}b\u{0}\r", &" c\u{1b}[2J".repeat(5_000)];
    let tokens: Vec<&str> = (0..TOKENS).map(|i| hostile[i % 3]).collect();
    let tokens = files.write("hostile.json", serde_json::to_string(&tokens).expect("JSON"));
    for command in [&["features", &fit, "--top", "5"][..], &["tree", &fit, "--ranks", "2", "--engine", "cpu", "-q"]] {
        let run = unmix(&[command, &["--tokens", &tokens]].concat()).expect(0);
        let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!run.stdout.contains(hidden) && run.stdout.contains("[2J"), "{}", run.stdout);
        assert!(run.stdout.lines().all(|line| line.chars().count() <= 100), "{}", run.stdout);
    }
    // Programs get the text unchanged.
    let json = features(&fit, &["--tokens", &tokens]);
    let words: Vec<&str> =
        list(&json["features"]).iter().map(|f| f["contexts"][0]["word"].as_str().expect("a word")).collect();
    assert!(words.contains(&hostile[0]) && words.contains(&hostile[1]), "{words:?}");
}

/// Activations whose token ids are `ids`, and their fit.
fn with_ids(ids: impl Fn(usize) -> i32) -> (Files, String) {
    let files = Files::new();
    let matrix: Vec<u8> = crate::harness::values().iter().flat_map(|v| v.to_le_bytes()).collect();
    let column = |value: &dyn Fn(usize) -> i32| (0..TOKENS).flat_map(|i| value(i).to_le_bytes()).collect::<Vec<u8>>();
    let (ids, positions) = (column(&ids), column(&|i| (i % 8) as i32));
    let view = |dtype, shape, bytes| safetensors::tensor::TensorView::new(dtype, shape, bytes).expect("a tensor");
    let tensors = [
        ("activations", view(safetensors::Dtype::F32, vec![TOKENS, NEURONS], &matrix)),
        ("token_ids", view(safetensors::Dtype::I32, vec![TOKENS], &ids)),
        ("positions", view(safetensors::Dtype::I32, vec![TOKENS], &positions)),
    ];
    let file = files.write("ids.safetensors", safetensors::serialize(tensors, None).expect("a file"));
    let fit = files.fit(&file, "fit", &["-k", "3", "-p", "0.34"]);
    (files, fit)
}

#[test]
fn ids_that_the_vocabulary_lacks_are_shown_as_numbers_with_one_warning() {
    let (files, fit) = with_ids(|i| [0, -100, 7][i % 3]);
    let vocabulary = files.write("vocabulary.json", r#"[" a", " b", " c", " d", " e", " f", " g", " h"]"#);
    let run = unmix(&["features", &fit, "--vocabulary", &vocabulary, "--top", "3"]).expect(0);
    assert!(run.stdout.contains("[id -100]"), "{}", run.stdout);
    assert_eq!(run.stderr.matches("warning").count() + run.stderr.matches("warn:").count(), 1, "{}", run.stderr);
    for words in ["vocabulary.json", "40 tokens (1 different ids)", "row 1", "[id -100]"] {
        assert!(run.stderr.contains(words), "no {words:?} in {}", run.stderr);
    }
    let page = files.path("page.html");
    unmix(&["report", &fit, "--vocabulary", &vocabulary, "--out", &page, "--ranks", "2", "--engine", "cpu"]).expect(0);
    assert!(std::fs::read_to_string(&page).expect("read").contains("[id -100]"));

    let delphi = |args: &[&str]| {
        let out = files.path("cache");
        unmix(&[&["export", &fit, "--to", "delphi", "--layer", "3", "--out", &out][..], args].concat())
    };
    let run = delphi(&[]).expect(2);
    assert!(run.stderr.contains("40 token ids") && run.stderr.contains("--padding ID"), "{}", run.stderr);
    let run = delphi(&["--padding", "2"]).expect(0);
    assert!(run.stderr.contains("40; the token 2 was written in their place"), "{}", run.stderr);
}

#[test]
fn characters_are_whole_though_their_bytes_are_tokens() {
    // 東 and 京 are three bytes each. No token here begins with a blank, which would show how the vocabulary is written.
    let (files, fit) = with_ids(|i| (i % 6) as i32);
    let model = serde_json::json!({"type": "BPE", "merges": [],
        "vocab": {"æ": 0, "Ŀ": 1, "±": 2, "ä": 3, "º": 4, "¬": 5, "Ġthe": 6}});
    let tokenizer = serde_json::json!({"version": "1.0", "model": model, "decoder": {"type": "ByteLevel"}});
    let tokenizer = files.write("tokenizer.json", tokenizer.to_string());
    let json = features(&fit, &["--vocabulary", &tokenizer, "--context", "4"]);
    let contexts = json["features"][0]["contexts"].as_array().expect("an array");
    let text = |c: &Value| ["before", "word", "after"].map(|part| c[part].as_str().expect("text").to_owned()).concat();
    assert!(contexts.iter().any(|context| text(context).contains("東京")), "{contexts:?}");
}

#[test]
fn texts_in_which_characters_were_lost_are_pointed_out() {
    let files = Files::new();
    let fit = files.fit(&files.activations("x.safetensors"), "fit", &["-k", "3"]);
    let tokens: Vec<&str> = (0..TOKENS).map(|i| [" a", "\u{fffd}", " c"][i % 3]).collect();
    let tokens = files.write("tokens.json", serde_json::to_string(&tokens).expect("JSON"));
    let run = unmix(&["features", &fit, "--tokens", &tokens]).expect(0);
    assert!(
        run.stderr.contains("40 of 120 tokens hold U+FFFD") && run.stderr.contains("--vocabulary"),
        "{}",
        run.stderr
    );
}
