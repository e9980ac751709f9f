//! Activations in several files, in folders and in batches.

use crate::harness::{Files, NEURONS, TOKENS, run_of, tensor, unmix, values};

/// Rows at which the values of the harness are cut into seven shards: multiples of nothing.
const CUTS: [usize; 8] = [0, 1, 18, 40, 41, 77, 103, TOKENS];

/// The values of the harness in a folder of seven shards.
fn shards(files: &Files) -> String {
    std::fs::create_dir(files.path("shards")).expect("created");
    let x = values();
    for (i, rows) in CUTS.windows(2).enumerate() {
        files.npy(&format!("shards/x-{}.npy", i + 6), &x[rows[0] * NEURONS..rows[1] * NEURONS], NEURONS);
    }
    files.path("shards")
}

fn factorization(fit: &str) -> Vec<u8> {
    std::fs::read(format!("{fit}/factorization.safetensors")).expect("read")
}

#[test]
fn seven_shards_give_the_bits_of_one_file() {
    let files = Files::new();
    let (one, seven) = (files.npy("one.npy", &values(), NEURONS), shards(&files));
    let options = ["-k", "5", "-p", "0.3"];
    let whole = files.fit(&one, "whole", &options);
    let folder = files.fit(&seven, "folder", &options);
    assert_eq!(factorization(&folder), factorization(&whole));
    let (whole, folder) = (run_of(&whole), run_of(&folder));
    assert_eq!(folder["input"]["fingerprint"], whole["input"]["fingerprint"]);
    assert_eq!(whole["input"]["path"], one);
    let names: Vec<String> = (6..13).map(|i| format!("{seven}/x-{i}.npy")).collect();
    let listed = folder["input"]["files"].as_array().expect("files");
    assert_eq!(listed.iter().map(|file| file["path"].as_str().expect("a path")).collect::<Vec<_>>(), names);
    // The files are found again, in their order.
    let out = files.path("sae");
    unmix(&["export", &files.path("folder"), "--to", "saelens", "--out", &out]).expect(0);
}

#[test]
fn files_that_are_named_are_joined_as_they_are_named() {
    let files = Files::new();
    let folder = shards(&files);
    let shard = |i: usize| format!("{folder}/x-{i}.npy");
    let json = unmix(&["inspect", &shard(12), &shard(6), "--json"]).expect(0).json();
    assert_eq!((&json["tokens"], json["files"].as_array().map(Vec::len)), (&18.into(), Some(2)));
    assert_eq!(json["files"][0]["path"], shard(12));
    let run = unmix(&["inspect", &folder]).expect(0);
    for words in ["x-6.npy", "x-12.npy", "120 tokens × 24"] {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
    files.refused(&["fit", &folder, &shard(8), "-k", "3", "--out", "x"], &["x-8.npy", "given twice"]);
    let narrow = files.npy("narrow.npy", &values(), 12);
    files.refused(&["inspect", &folder, &narrow], &["narrow.npy", "12 neurons", "x-6.npy has 24 neurons"]);
}

#[test]
fn new_activations_in_shards_are_encoded_as_those_of_one_file() {
    let files = Files::new();
    let (one, seven) = (files.npy("one.npy", &values(), NEURONS), shards(&files));
    let fit = files.fit(&one, "fit", &["-k", "5", "-p", "0.3", "--max-iterations", "3"]);
    let encoded = |input: &str, name: &str| {
        let out = files.path(name);
        unmix(&["encode", &fit, input, "--out", &out, "--engine", "cpu", "--cosines", "-q"]).expect(0);
        std::fs::read(out).expect("read")
    };
    assert_eq!(encoded(&one, "a.safetensors"), encoded(&seven, "b.safetensors"));
}

#[test]
fn a_float_mask_beside_a_batch_is_not_factorized() {
    let files = Files::new();
    let mask: Vec<f32> = (0..TOKENS).map(|i| if i % 8 < 6 { 1.0 } else { 0.0 }).collect();
    let batch = files.batch("x.safetensors", &values(), &mask);
    let kept: Vec<f32> =
        values().chunks(NEURONS).zip(&mask).filter(|(_, m)| **m > 0.0).flat_map(|(x, _)| x.to_vec()).collect();
    let plain = files.npy("plain.npy", &kept, NEURONS);
    let options = ["-k", "5", "-p", "0.3"];
    let (fit, plain) = (files.fit(&batch, "fit", &options), files.fit(&plain, "plain", &options));
    for name in ["features", "coefficients"] {
        let of = |fit: &str| tensor(&format!("{fit}/factorization.safetensors"), name);
        assert_eq!(of(&fit), of(&plain), "{name}");
    }
    let column = |name: &str| tensor(&format!("{fit}/factorization.safetensors"), name).1;
    let rows: Vec<f64> = (0..TOKENS).filter(|i| i % 8 < 6).map(|i| i as f64).collect();
    assert_eq!(column("rows"), rows);
    assert_eq!(column("prompt_ids"), rows.iter().map(|row| (row / 8.0).floor()).collect::<Vec<_>>());
    assert_eq!(column("positions"), rows.iter().map(|row| row % 8.0).collect::<Vec<_>>());
    let run = unmix(&["inspect", &batch]).expect(0);
    for words in ["90 tokens × 24", "30 of 120 rows", "15 × 8 × 24", "leaves out positions"] {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
}

#[test]
fn numbers_that_are_not_finite_are_named_by_their_file_and_their_row_in_it() {
    let files = Files::new();
    let mut x = values();
    x[7 * NEURONS + 3] = f32::NAN;
    let (good, bad) = (files.npy("a.npy", &values(), NEURONS), files.npy("b.npy", &x, NEURONS));
    let out = files.path("fit");
    files.refused(
        &["fit", &good, &bad, "-k", "3", "--engine", "cpu", "-q", "--out", &out],
        &["b.npy", "token 7, neuron 3 is NaN"],
    );
}

#[test]
fn a_folder_without_activations_says_what_it_holds() {
    let files = Files::new();
    std::fs::create_dir(files.path("folder")).expect("created");
    files.write("folder/x.pt", [1]);
    files.refused(&["inspect", &files.path("folder")], &["no .safetensors or .npy file", "1 of .pt"]);
    let fit = files.fit(&files.npy("x.npy", &values(), NEURONS), "fit", &["-k", "2"]);
    files.refused(&["inspect", &fit], &["the folder of a fit", "`unmix features`"]);
}

#[test]
fn zeros_are_no_tokens_with_which_norms_are_compared() {
    let files = Files::new();
    let mut x = values();
    x[..80 * NEURONS].fill(0.0);
    let padded = files.npy("padded.npy", &x, NEURONS);
    let run = unmix(&["inspect", &padded, "--max-norm", "10x"]).expect(0);
    assert!(!run.stdout.contains("times the median norm hold"), "{}", run.stdout);
    let fit = files.fit(&padded, "fit", &["-k", "3", "-p", "0.3", "--max-norm", "10x"]);
    assert_eq!(run_of(&fit)["tokens"], 120, "nothing is left out");
    let zeros = files.npy("zeros.npy", &vec![0.0; 120 * NEURONS], NEURONS);
    let run = unmix(&["fit", &zeros, "-k", "3", "--engine", "cpu", "--out", &files.path("nothing")]).expect(0);
    assert!(run.stderr.contains("all activations are zero"), "{}", run.stderr);
}

#[test]
fn a_mask_beside_a_matrix_leaves_out_padding_too() {
    let files = Files::new();
    let mask: Vec<f32> = (0..TOKENS).map(|token| f32::from(u8::from(token % 5 != 2))).collect();
    let masked = files.tensors(
        "masked.safetensors",
        &[("activations", &values(), &[TOKENS, NEURONS]), ("attention_mask", &mask, &[TOKENS])],
    );
    let json = unmix(&["inspect", &masked, "--json"]).expect(0).json();
    assert_eq!(json["tokens"], 96);
}

#[test]
fn files_from_different_places_in_a_model_are_warned_of() {
    let files = Files::new();
    let [fourth, eighth] = ["4", "8"].map(|layer| files.of_place(&format!("{layer}.safetensors"), "m", layer, "resid"));
    let fit = |second: &str, out: &str| {
        let out = files.path(out);
        unmix(&["fit", &fourth, second, "-k", "3", "-p", "0.34", "--engine", "cpu", "--out", &out]).expect(0).stderr
    };
    let inspected = unmix(&["inspect", &fourth, &eighth]).expect(0).stderr;
    for told in [fit(&eighth, "both"), inspected] {
        let said = format!("the layer is \"4\" in {fourth} and \"8\" in {eighth}; give the files of one place");
        assert!(told.contains(&said), "{told}");
    }
    assert_eq!(run_of(&files.path("both"))["input"]["origin"], serde_json::json!({"model": "m", "site": "resid"}));
    // Files that say nothing, or the same, are no mistake.
    let same = files.of_place("same.safetensors", "m", "4", "resid");
    let silent = files.with_columns("silent.safetensors", &[("activations", &values(), &[TOKENS, NEURONS])], &[]);
    for (file, out) in [(same, "same"), (silent, "silent")] {
        let told = fit(&file, out);
        assert!(!told.contains("not from one place"), "{told}");
    }
}

#[test]
fn the_strongest_token_has_its_row_in_the_file() {
    let files = Files::new();
    let mut x = values();
    x[110 * NEURONS..111 * NEURONS].iter_mut().for_each(|value| *value *= 9.0);
    let file = files.tensors("strong.safetensors", &[("activations", &x, &[TOKENS, NEURONS])]);
    let json = unmix(&["inspect", &file, "--skip-first", "3", "--json"]).expect(0).json();
    assert_eq!((&json["tokens"], &json["strongest_token"]["index"]), (&75.into(), &110.into()));
}

#[test]
fn a_number_beyond_f32_is_named_whether_it_is_streamed_or_not() {
    let files = Files::new();
    let mut bytes: Vec<u8> = (0..40 * 6).flat_map(|at| f64::from(at % 7).to_le_bytes()).collect();
    bytes[(5 * 6 + 2) * 8..][..8].copy_from_slice(&1e300f64.to_le_bytes());
    let header = format!("{:<117}\n", "{'descr': '<f8', 'fortran_order': False, 'shape': (40, 6), }");
    let npy = [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &bytes].concat();
    let file = files.write("x.npy", npy);
    for stream in ["never", "always"] {
        let args = ["fit", &file, "-k", "2", "--engine", "cpu", "--stream", stream, "--out", &files.path("out")];
        files.refused(&args, &["x.npy", "row 5", "column 2", "1e300"]);
    }
}

#[test]
fn tokens_of_zeros_are_no_tokens_that_have_not_settled() {
    let files = Files::new();
    let mut x = values();
    x[..60 * NEURONS].fill(0.0);
    let padded = files.npy("padded.npy", &x, NEURONS);
    for solver in ["mu", "paper", "hals"] {
        let out = files.path(solver);
        let run =
            unmix(&["fit", &padded, "-k", "3", "-p", "0.3", "--solver", solver, "--engine", "cpu", "--out", &out]);
        assert!(!run.expect(0).stderr.contains("explained worse than by no feature"), "{solver}");
    }
}

#[test]
fn features_that_explain_nothing_are_warned_of() {
    let files = Files::new();
    let fit_of = |name: &str, factor: f32| {
        let values: Vec<f32> = values().iter().map(|value| factor * value).collect();
        let (file, out) = (files.npy(&format!("{name}.npy"), &values, NEURONS), files.path(name));
        unmix(&["fit", &file, "-k", "3", "-p", "0.3", "--preset", "paper", "--engine", "cpu", "--out", &out])
            .expect(0)
            .stderr
    };
    let tiny = fit_of("tiny", 1e-12);
    assert!(
        tiny.contains("the features explain less than 0.1%") && tiny.contains("multiply the activations"),
        "{tiny}"
    );
    let ordinary = fit_of("ordinary", 1.0);
    assert!(!ordinary.contains("explain less than"), "{ordinary}");
    // They are still known when the fit is read.
    let table = unmix(&["features", &files.path("tiny")]).expect(0).stdout;
    assert!(table.contains("warning: the features explain less than 0.1%"), "{table}");
    let (fit, out) = (files.path("tiny"), files.path("sae"));
    let export = ["export", &fit, "--to", "saelens", "--architecture", "matching-pursuit", "--out", &out];
    assert!(unmix(&export).expect(0).stderr.contains("the features explain less than 0.1%"));
}
