//! `unmix compare`: what fits have in common.

use serde_json::Value;

use crate::harness::{Files, NEURONS, TOKENS, tensor, unmix, values};

fn compared(fits: &[&str]) -> Value {
    unmix(&[&["compare", "--json"][..], fits].concat()).expect(0).json()
}

/// Cosine of each feature of one fit with each of another.
fn cosines(first: &str, second: &str) -> Vec<Vec<f64>> {
    let features = |fit: &str| tensor(&format!("{fit}/factorization.safetensors"), "features").1;
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (first, second) = (features(first), features(second));
    let row = |a: &[f64]| second.chunks_exact(NEURONS).map(|b| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).collect();
    first.chunks_exact(NEURONS).map(row).collect()
}

/// The largest sum of cosines, one from each row, with no column used twice and no cosine below 0. It tries all ways.
fn best_sum(cosines: &[Vec<f64>], taken: &mut Vec<usize>) -> f64 {
    let Some((row, rest)) = cosines.split_first() else { return 0.0 };
    let mut best = f64::MIN;
    for (column, cosine) in row.iter().enumerate() {
        if !taken.contains(&column) {
            taken.push(column);
            best = best.max(cosine.max(0.0) + best_sum(rest, taken));
            taken.pop();
        }
    }
    best
}

fn numbers(list: &Value, key: &str) -> Vec<u64> {
    list.as_array().expect("an array").iter().map(|pair| pair[key].as_u64().expect("a number")).collect()
}

#[test]
fn a_fit_is_stable_against_itself() {
    let files = Files::new();
    let fit = files.fit(&files.activations("x.safetensors"), "fit", &["-k", "5"]);
    let json = compared(&[&fit, &fit]);
    let found = &json["compared_with"][0];
    assert!((found["stability"].as_f64().expect("a number") - 1.0).abs() < 1e-6, "{found}");
    assert_eq!((&found["found_again"], &found["relative_error"]), (&5.into(), &json["relative_error"]));
    assert_eq!(numbers(&found["pairs"], "first"), numbers(&found["pairs"], "second"));
    assert_eq!((&found["unmatched_first"], &found["unmatched_second"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    // A single feature that was found again does not count as chance, although shuffling it changes nothing.
    let single = files.fit(&files.path("x.safetensors"), "single", &["-k", "1"]);
    for fit in [&fit, &single] {
        let run = unmix(&["compare", fit, fit]).expect(0);
        assert!(run.stdout.contains("Most features do not depend"), "{}", run.stdout);
    }
}

#[test]
fn features_of_another_start_are_matched_so_that_cosines_sum_to_most() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    // With few iterations and more features than kinds of tokens, the starts still show.
    let fit = |name: &str, seed: &str| {
        let options = ["-k", "6", "-p", "0.5", "--init", "random", "--max-iterations", "2", "--seed", seed];
        files.fit(&file, name, &options)
    };
    let fits = [fit("a", "1"), fit("b", "2"), fit("c", "3")];
    let json = compared(&[&fits[0], &fits[1], &fits[2]]);
    let found = json["compared_with"].as_array().expect("an array");
    assert_eq!((found.len(), &json["fit"]), (2, &fits[0].as_str().into()));
    for (found, other) in found.iter().zip(&fits[1..]) {
        assert_eq!(found["fit"], other.as_str());
        let cosines = cosines(&fits[0], other);
        let pairs = found["pairs"].as_array().expect("an array");
        let size = |pair: &Value| pair["cosine"].as_f64().expect("a number");
        for pair in pairs {
            let place = |key: &str| pair[key].as_u64().expect("a number") as usize;
            assert!((size(pair) - cosines[place("first")][place("second")]).abs() < 1e-5, "{pair}");
        }
        let sum: f64 = pairs.iter().map(size).sum();
        let best = best_sum(&cosines, &mut Vec::new());
        assert!(best < 5.99 && (sum - best).abs() < 1e-5, "{sum} for {best}");
        assert!((found["stability"].as_f64().expect("a number") - best / 6.0).abs() < 1e-5);
        assert_eq!(found["found_again"], pairs.iter().filter(|pair| size(pair) >= 0.8).count());
        assert!(pairs.iter().all(|pair| size(pair) > 0.0), "{found}");
        assert!(pairs.is_sorted_by(|a, b| size(a) >= size(b)), "{found}");
    }
}

#[test]
fn fits_of_other_ranks_leave_features_without_a_counterpart() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let (small, large) = (files.fit(&file, "small", &["-k", "3"]), files.fit(&file, "large", &["-k", "7"]));
    for (first, second, alone, none) in [
        (&small, &large, "unmatched_second", "unmatched_first"),
        (&large, &small, "unmatched_first", "unmatched_second"),
    ] {
        let json = compared(&[first, second]);
        let found = &json["compared_with"][0];
        assert_eq!(found["pairs"].as_array().expect("an array").len(), 3);
        assert_eq!((found[alone].as_array().expect("an array").len(), &found[none]), (4, &Value::Array(vec![])));
        // Each feature of the larger fit is either in a pair or alone.
        let side = if alone == "unmatched_second" { "second" } else { "first" };
        let mut all = numbers(&found["pairs"], side);
        all.extend(found[alone].as_array().expect("an array").iter().map(|k| k.as_u64().expect("a number")));
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5, 6]);
    }
    let run = unmix(&["compare", &small, &large, "--top", "2"]).expect(0);
    assert_eq!(run.stderr, "");
    for words in ["mean cosine", "of 3 features were found again", "by chance", "Most alike", &small, &large] {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
    // A heading and two pairs.
    let pairs = run.stdout.split("Most alike").nth(1).expect("a list").lines().skip(1);
    assert_eq!(pairs.take_while(|line| !line.is_empty()).count(), 3, "{}", run.stdout);
}

#[test]
fn a_feature_that_points_the_opposite_way_is_no_counterpart() {
    let files = Files::new();
    let fit = files.fit(&files.activations("x.safetensors"), "fit", &["-k", "3", "-p", "0.34"]);
    // The same folder, with the first feature turned round: its best cosine is −1.
    let turned = files.path("turned");
    std::fs::create_dir(&turned).expect("created");
    std::fs::copy(format!("{fit}/run.json"), format!("{turned}/run.json")).expect("copied");
    let (name, target) = (format!("{fit}/factorization.safetensors"), format!("{turned}/factorization.safetensors"));
    let bytes = std::fs::read(name).expect("read");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a file");
    let mut features = file.tensor("features").expect("a tensor").data().to_vec();
    features[..4 * NEURONS].iter_mut().skip(3).step_by(4).for_each(|byte| *byte ^= 0x80);
    let shape = file.tensor("features").expect("a tensor").shape().to_vec();
    let features = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &features).expect("a tensor");
    let mut views = file.tensors();
    views.iter_mut().filter(|(name, _)| name == "features").for_each(|(_, view)| *view = features.clone());
    std::fs::write(target, safetensors::serialize(views, None).expect("a file")).expect("written");

    let json = compared(&[&fit, &turned]);
    let found = &json["compared_with"][0];
    assert_eq!(found["found_again"], 2);
    let pairs = found["pairs"].as_array().expect("an array");
    let again = |pair: &&Value| pair["cosine"].as_f64().expect("a number") > 0.99;
    assert!(pairs.iter().filter(again).all(|pair| pair["first"] != 0 && pair["first"] == pair["second"]), "{found}");
    assert!(pairs.iter().all(|pair| pair["cosine"].as_f64().expect("a number") > 0.0), "{found}");
    assert!((found["stability"].as_f64().expect("a number") - 2.0 / 3.0).abs() < 0.1, "{found}");
    let run = unmix(&["compare", &fit, &turned]).expect(0);
    assert!(run.stdout.contains("2 of 3 features were found again") && !run.stdout.contains("-0."), "{}", run.stdout);
}

#[test]
fn words_stand_beside_the_numbers_of_both_fits() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let options = ["-k", "3", "-p", "0.34"];
    let (one, other) = (files.fit(&file, "one", &options), files.fit(&file, "other", &options));
    let fits = [one.as_str(), &other];
    let vocabulary = files.write("vocab.json", r#"{"Ġred": 0, "Ġgreen": 1, "Ġblue": 2}"#);
    let tokens = files.tokens();
    for text in [["--vocabulary", vocabulary.as_str()], ["--tokens", tokens.as_str()]] {
        let run = unmix(&[&["compare"][..], &fits, &text].concat()).expect(0);
        for word in ["red", "green", "blue"] {
            let line = run.stdout.lines().find(|line| line.matches(word).count() == 2);
            assert!(line.is_some(), "no pair of {word:?} in {}", run.stdout);
        }
        assert!(run.stdout.lines().skip(3).all(|line| !line.contains("--vocabulary")), "{}", run.stdout);
        let pair = &compared(&[fits, text].concat())["compared_with"][0]["pairs"][0];
        assert_eq!(pair["first_words"], pair["second_words"]);
        assert!(["red", "green", "blue"].map(Value::from).contains(&pair["first_words"][0]["word"]), "{pair}");
    }
    let run = unmix(&["compare", &one, &other]).expect(0);
    assert!(run.stdout.contains("--vocabulary FILE or --tokens FILE shows the words"), "{}", run.stdout);
}

#[test]
fn chance_is_told_beside_what_was_found() {
    let files = Files::new();
    let fit = files.fit(&files.activations("x.safetensors"), "fit", &["-k", "12", "-p", "0.34"]);
    let found = &compared(&[&fit, &fit])["compared_with"][0];
    let figure = |of: &Value, key: &str| of[key].as_f64().expect("a number");
    assert!(figure(&found["chance"], "stability") < figure(found, "stability"), "{found}");
    assert!(figure(&found["chance"], "found_again") < 12.0, "{found}");
    assert_eq!(found, &compared(&[&fit, &fit])["compared_with"][0]);
}

#[test]
fn what_cannot_be_compared_is_named() {
    let files = Files::new();
    let fit = files.fit(&files.activations("x.safetensors"), "fit", &["-k", "3"]);
    let narrow = files.npy("narrow.npy", &values()[..TOKENS * 4], 4);
    let narrow = files.fit(&narrow, "narrow", &["-k", "2"]);
    let refused = |fits: &[&str], words: &[&str]| files.refused(&[&["compare"][..], fits].concat(), words);
    refused(&[&fit, &narrow], &["narrow", "4 neurons", "over 24", "of one layer"]);
    refused(&[&fit], &["<OTHER>", "not provided", "Usage: unmix compare <FIT> <OTHER>..."]);
    refused(&[&fit, &files.path("none")], &["none", "no such", "check the path"]);
    std::fs::create_dir(files.path("empty")).expect("created");
    refused(&[&fit, &files.path("empty")], &["empty", "run.json is missing", "`unmix fit` wrote"]);
}

/// The activations of another layer: each of its neurons is the sum of two of [`values`].
fn next_layer() -> Vec<f32> {
    let mix = |row: &[f32]| (0..NEURONS).map(|j| row[j] + row[(j * 5 + 1) % NEURONS]).collect::<Vec<f32>>();
    values().chunks_exact(NEURONS).flat_map(mix).collect()
}

#[test]
fn fits_of_two_layers_are_compared_by_what_their_tokens_do() {
    let files = Files::new();
    let options = ["-k", "3", "-p", "0.67"];
    let first = files.fit(&files.activations("first.safetensors"), "first", &options);
    let second = files.tensors("second.safetensors", &[("activations", &next_layer(), &[TOKENS, NEURONS])]);
    let second = files.fit(&second, "second", &options);
    let found = &compared(&[&first, &second])["compared_with"][0];
    assert_eq!((&found["compared_by"], &found["found_again_from"]), (&"correlation".into(), &0.6f32.into()));
    assert_eq!(found["found_again"], 3, "{found}");
    assert!(found["pairs"][0]["correlation"].as_f64().expect("a number") > 0.9, "{found}");
    assert!(found["pairs"][0].get("cosine").is_none(), "{found}");
    assert!(found["chance"]["stability"].as_f64().expect("a number") < 0.5, "{found}");
    let run = unmix(&["compare", &first, &second]).expect(0);
    for words in ["mean correlation", "correlation of at least 0.6", "in a random order"] {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
    // A user may know better.
    let by_cosine = &compared(&[&first, &second, "--by", "cosine"])["compared_with"][0];
    assert_eq!(by_cosine["compared_by"], "cosine");
    let few = files.npy("few.npy", &values()[..TOKENS / 2 * NEURONS], NEURONS);
    let few = files.fit(&few, "few", &["-k", "2"]);
    files.refused(&["compare", &first, &few, "--by", "correlation"], &["few", "60 tokens", "same tokens"]);
    // Tokens that were left out of either fit do not change what the neurons of two layers have in common: nothing.
    let lessened = |file: &str, name: &str, skipped: &str| {
        let options = [&options[..], &["--skip-first", skipped]].concat();
        files.fit(&files.path(file), name, &options)
    };
    let fewer = lessened("second.safetensors", "fewer", "1");
    let others = lessened("first.safetensors", "others", "2");
    for first in [&first, &others] {
        let found = &compared(&[first, &fewer])["compared_with"][0];
        assert_eq!((&found["compared_by"], &found["found_again"]), (&"correlation".into(), &3.into()), "{found}");
    }
    assert_eq!(compared(&[&first, &others])["compared_with"][0]["compared_by"], "cosine");
}

#[test]
fn the_place_that_files_name_says_whether_features_have_cosines() {
    let files = Files::new();
    let options = ["-k", "3", "-p", "0.67"];
    let all = files.fit(&files.activations("all.safetensors"), "all", &options);
    let next = files.tensors("next.safetensors", &[("activations", &next_layer(), &[TOKENS, NEURONS])]);
    let next = files.fit(&next, "next", &options);
    let few = files.npy("few.npy", &values()[..TOKENS / 2 * NEURONS], NEURONS);
    let few = files.fit(&few, "few", &options);
    let is_of = |fit: &str, layer: u32| {
        let record = format!("{fit}/run.json");
        let mut run: Value = serde_json::from_slice(&std::fs::read(&record).expect("read")).expect("JSON");
        run["input"]["origin"] = serde_json::json!({ "model": "m", "layer": layer, "site": "neurons" });
        std::fs::write(&record, run.to_string()).expect("written");
    };
    is_of(&all, 4);
    // Other numbers of the same tokens may be those of the same neurons, in another type.
    is_of(&next, 4);
    is_of(&few, 4);
    for other in [&next, &few] {
        assert_eq!(compared(&[&all, other])["compared_with"][0]["compared_by"], "cosine");
    }
    is_of(&next, 8);
    is_of(&few, 8);
    assert_eq!(compared(&[&all, &next])["compared_with"][0]["compared_by"], "correlation");
    let page = files.path("page.html");
    let words = ["24 neurons of layer 8", "24 neurons of layer 4"];
    files.refused(&["compare", &all, &few], &[&words[..], &["--by correlation"]].concat());
    files.refused(&["compare", &all, &few, "--page", &page], &words);
    files.refused(&["report", &all, "--beside", &few, "--out", &page], &words);
    assert_eq!(compared(&[&all, &few, "--by", "cosine"])["compared_with"][0]["compared_by"], "cosine");
}

#[test]
fn the_links_over_several_ranks_are_written_as_json_and_as_a_page() {
    let files = Files::new();
    let file = files.activations("x.safetensors");
    let fits = ["2", "3", "6"].map(|rank| files.fit(&file, &format!("rank-{rank}"), &["-k", rank, "-p", "0.34"]));
    let (graph, page, tokens) = (files.path("links.json"), files.path("links.html"), files.tokens());
    let args = ["compare", &fits[0], &fits[1], &fits[2], "--tokens", &tokens, "--graph", &graph, "--page", &page];
    let run = unmix(&args).expect(0);
    assert!(run.stdout.contains("links.json") && run.stdout.contains("links.html"), "{}", run.stdout);
    let json: Value = serde_json::from_slice(&std::fs::read(&graph).expect("read")).expect("JSON");
    let names: Vec<&Value> = json["fits"].as_array().expect("fits").iter().map(|fit| &fit["name"]).collect();
    assert_eq!(names, ["rank-2", "rank-3", "rank-6"]);
    assert_eq!(json["fits"][1]["features"].as_array().expect("features").len(), 3);
    let word = json["fits"][1]["features"][0]["words"][0].as_str().expect("a word");
    assert!(["red", "green", "blue"].contains(&word), "{word}");
    assert_eq!(json["links"].as_array().expect("links").len(), 2);
    // The links are the cosines between neighbours.
    let cosines = cosines(&fits[1], &fits[2]);
    let links = json["links"][1]["links"].as_array().expect("links");
    assert!(links.iter().filter(|link| link["is_match"] == true).count() <= 3 && !links.is_empty(), "{links:?}");
    for link in links {
        let place = |key: &str| link[key].as_u64().expect("a number") as usize;
        let similarity = link["similarity"].as_f64().expect("a number");
        assert!((similarity - cosines[place("first")][place("second")]).abs() < 1e-5 && similarity >= 0.4, "{link}");
    }
    let shown = std::fs::read_to_string(&page).expect("read");
    assert!(shown.contains("Content-Security-Policy") && shown.contains("rank-6"));
    files.refused(&args, &["links.html", "--force"]);
    let same = files.path("./links.new");
    files.refused(
        &["compare", &fits[0], &fits[1], "--page", &files.path("links.new"), "--graph", &same],
        &["--page and --graph", "links.new", "two names"],
    );
    let narrow = files.npy("narrow.npy", &values()[..TOKENS / 2 * 4], 4);
    let narrow = files.fit(&narrow, "narrow", &["-k", "2"]);
    files.refused(
        &["compare", &fits[0], &fits[1], &narrow, "--graph", &same],
        &["narrow", "is over 4 neurons and of other tokens"],
    );
    unmix(&[&args[..], &["--force"]].concat()).expect(0);
    let notes = files.write("notes.json", "years of work");
    files.refused(
        &["compare", &fits[0], &fits[1], "--graph", &notes, "--force"],
        &["notes.json", "not a file of links"],
    );
    assert_eq!(std::fs::read(&notes).expect("read"), b"years of work");
}
