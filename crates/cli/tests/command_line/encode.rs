//! `unmix encode`: coefficients of tokens that a fit never saw.

use crate::harness::{Files, NEURONS, TOKENS, tensor, unmix};

const RANK: usize = 5;
/// Tokens that the fit never saw. Their number is not a multiple of anything.
const OTHERS: usize = 37;

/// Activations in `x.safetensors` and a fit of features that share neurons, so that coefficients depend on one another.
fn fitted(options: &[&str]) -> (Files, String, String) {
    let files = Files::new();
    let file = files.tensors("x.safetensors", &[("activations", &stirred(TOKENS, 7349), &[TOKENS, NEURONS])]);
    let fit = files.fit(&file, "fit", &[&["-k", "5", "-p", "0.7", "--max-iterations", "3"], options].concat());
    (files, file, fit)
}

/// Values without much structure, so that features overlap and explain only a part of them.
fn stirred(tokens: usize, factor: usize) -> Vec<f32> {
    (0..tokens * NEURONS).map(|at| ((at * factor) % 211) as f32 / 40.0 - 2.0 + (at % NEURONS / 8) as f32).collect()
}

fn others() -> Vec<f32> {
    stirred(OTHERS, 6869)
}

fn encoded(fit: &str, file: &str, out: &str, options: &[&str]) -> serde_json::Value {
    unmix(&[&["encode", fit, file, "--out", out, "--engine", "cpu", "-q", "--json"][..], options].concat())
        .expect(0)
        .json()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Checks that coefficients minimise ½‖x − yZ‖² + α‖x‖Σₖ yₖ‖zₖ‖ over y ≥ 0, by conditions that hold only at the
/// minimum: no derivative is below zero, and the derivative of a coefficient above zero is zero. Residuals must be what
/// the coefficients leave.
fn check_least(fit: &str, encoded: &str, x: &[f32], penalty: f64) {
    let (_, z) = tensor(&format!("{fit}/factorization.safetensors"), "features");
    let (shape, y) = tensor(encoded, "coefficients");
    let tokens = x.len() / NEURONS;
    assert_eq!(shape, [tokens, RANK]);
    let ((_, residuals), (_, norms)) = (tensor(encoded, "squared_residuals"), tensor(encoded, "squared_norms"));
    assert_eq!((residuals.len(), norms.len()), (tokens, tokens));
    let features: Vec<&[f64]> = z.chunks_exact(NEURONS).collect();
    let mut zeros = 0;
    for i in 0..tokens {
        let x: Vec<f64> = x[i * NEURONS..(i + 1) * NEURONS].iter().map(|&v| v.into()).collect();
        let y = &y[i * RANK..(i + 1) * RANK];
        let error: Vec<f64> =
            (0..NEURONS).map(|j| (0..RANK).map(|k| y[k] * features[k][j]).sum::<f64>() - x[j]).collect();
        let energy = dot(&x, &x);
        assert!((norms[i] - energy).abs() < 1e-5 * energy, "token {i}: {} for {energy}", norms[i]);
        assert!((residuals[i] - dot(&error, &error)).abs() < 1e-4 * energy, "token {i}: {}", residuals[i]);
        for (k, z) in features.iter().enumerate() {
            let norm = dot(z, z).sqrt();
            // In units of the slope for a feature in the direction of x.
            let slope = dot(z, &error) / (norm * energy.sqrt()) + penalty;
            assert!(y[k] >= 0.0 && slope > -1e-4, "token {i}, feature {k}: {} with derivative {slope}", y[k]);
            assert!(y[k] == 0.0 || slope < 1e-4, "token {i}, feature {k}: {} with derivative {slope}", y[k]);
            zeros += usize::from(y[k] == 0.0);
        }
    }
    // Some coefficients are at the bound of zero, and some are not.
    assert!(zeros > 0 && zeros < tokens * RANK, "{zeros}");
}

#[test]
fn activations_of_another_layer_than_the_fits_are_warned_of() {
    let files = Files::new();
    let [fourth, eighth] = ["4", "8"].map(|layer| files.of_place(&format!("{layer}.safetensors"), "m", layer, "resid"));
    let fit = files.fit(&fourth, "fit", &["-k", "3", "-p", "0.34"]);
    let told = |file: &str| {
        let out = files.path("out.safetensors");
        unmix(&["encode", &fit, file, "--engine", "cpu", "--force", "--out", &out]).expect(0).stderr
    };
    let other = told(&eighth);
    assert!(other.contains("of layer 4, but") && other.contains("8.safetensors holds those of layer 8"), "{other}");
    assert!(!told(&fourth).contains("layer 4, but"));
}

#[test]
fn coefficients_are_the_best_of_at_least_zero_and_residuals_are_what_they_leave() {
    let (files, file, fit) = fitted(&["--solver", "projected-ls"]);
    let other = files.npy("other.npy", &others(), NEURONS);
    for (name, x) in [(&file, stirred(TOKENS, 7349)), (&other, others())] {
        let out = files.path("encoded.safetensors");
        let json = encoded(&fit, name, &out, &["--force"]);
        check_least(&fit, &out, &x, 0.0);
        assert_eq!((&json["penalty"], &json["features"]), (&0.0.into(), &RANK.into()));
        assert_eq!(json["tokens"], x.len() / NEURONS);
        let sum = |name| tensor(&out, name).1.iter().sum::<f64>();
        let error = json["relative_error"].as_f64().expect("a number");
        assert!((error - sum("squared_residuals") / sum("squared_norms")).abs() < 1e-12, "{error}");
        let (_, y) = tensor(&out, "coefficients");
        let active = y.iter().filter(|&&y| y > 0.0).count() as f64 / y.len() as f64;
        assert!((json["active_share"].as_f64().expect("a number") - active).abs() < 1e-12);
    }
    // The coefficients of a fit were found with features that have moved on since. The encoded ones are at least as
    // good.
    let json = encoded(&fit, &file, &files.path("own.safetensors"), &[]);
    let error = |key: &str| json[key].as_f64().expect("a number");
    assert!(error("relative_error") <= error("fit_relative_error") * (1.0 + 1e-5), "{json}");
}

#[test]
fn a_fit_with_a_penalty_encodes_with_it_unless_told_otherwise() {
    let (files, file, fit) = fitted(&["--solver", "hals", "--penalty", "0.15"]);
    let out = files.path("encoded.safetensors");
    assert_eq!(encoded(&fit, &file, &out, &[])["penalty"], 0.15);
    check_least(&fit, &out, &stirred(TOKENS, 7349), 0.15);
    assert_eq!(encoded(&fit, &file, &out, &["--force", "--penalty", "0.3"])["penalty"], 0.3);
    check_least(&fit, &out, &stirred(TOKENS, 7349), 0.3);
    assert_eq!(encoded(&fit, &file, &out, &["--force", "--penalty", "0"])["penalty"], 0.0);
    check_least(&fit, &out, &stirred(TOKENS, 7349), 0.0);
}

#[test]
fn tokens_are_encoded_without_shrinkage_where_the_fit_has_none() {
    let errors = [&["--penalty", "0.15", "--unshrink"][..], &["--penalty", "0.15"]].map(|options| {
        let (files, file, fit) = fitted(options);
        let json = encoded(&fit, &file, &files.path("encoded.safetensors"), &[]);
        assert_eq!((&json["penalty"], &json["unshrink"]), (&0.15.into(), &(options.len() == 3).into()));
        json["relative_error"].as_f64().expect("a number")
    });
    assert!(errors[0] < errors[1], "{errors:?}");
}

#[test]
fn columns_of_tokens_are_carried_over_where_there_are_any() {
    let (files, file, fit) = fitted(&[]);
    let out = files.path("encoded.safetensors");
    encoded(&fit, &file, &out, &[]);
    for column in ["token_ids", "prompt_ids", "positions"] {
        assert_eq!(tensor(&out, column), tensor(&file, column), "{column}");
    }
    encoded(&fit, &files.npy("other.npy", &others(), NEURONS), &out, &["--force"]);
    let bytes = std::fs::read(&out).expect("read");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a file");
    let mut names: Vec<&str> = file.names().into_iter().collect();
    names.sort_unstable();
    assert_eq!(names, ["coefficients", "squared_norms", "squared_residuals"]);
}

#[test]
fn cosines_are_those_of_tokens_and_features() {
    let (files, _, fit) = fitted(&[]);
    let mut x = others();
    x[..NEURONS].fill(0.0);
    let out = files.path("encoded.safetensors");
    encoded(&fit, &files.npy("other.npy", &x, NEURONS), &out, &["--cosines"]);
    let (shape, cosines) = tensor(&out, "cosines");
    assert_eq!(shape, [OTHERS, RANK]);
    let (_, z) = tensor(&format!("{fit}/factorization.safetensors"), "features");
    for (i, token) in x.chunks_exact(NEURONS).enumerate() {
        let token: Vec<f64> = token.iter().map(|&v| v.into()).collect();
        for (k, z) in z.chunks_exact(NEURONS).enumerate() {
            // A token that is all zero has no direction.
            let expected = if i == 0 { 0.0 } else { dot(&token, z) / (dot(&token, &token) * dot(z, z)).sqrt() };
            let found = cosines[i * RANK + k];
            assert!((found - expected).abs() < 1e-5, "token {i}, feature {k}: {found} for {expected}");
        }
    }
}

#[test]
fn people_are_told_how_well_it_went() {
    let (files, file, fit) = fitted(&[]);
    let out = files.path("encoded.safetensors");
    let run = unmix(&["encode", &fit, &file, "--out", &out, "--engine", "cpu"]).expect(0);
    for words in ["relative error", "explained", "120 tokens × 5 features", "every token has settled", "saved in"] {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
    assert!(run.stderr.contains("engine: cpu"), "{}", run.stderr);
}

#[test]
fn an_earlier_file_is_replaced_only_when_forced() {
    let (files, file, fit) = fitted(&[]);
    let out = files.write("encoded.safetensors", "years of work");
    let args = ["encode", &fit, &file, "--out", &out, "--engine", "cpu", "-q"];
    files.refused(&args, &["encoded.safetensors", "already exists", "--force"]);
    files.refused(&[&args[..], &["--force"]].concat(), &["encoded.safetensors", "not an encoding", "another place"]);
    assert_eq!(std::fs::read(&out).expect("read"), b"years of work");
    // The activations themselves are the file that is named by mistake.
    let activations = std::fs::read(&file).expect("read");
    let onto_itself = ["encode", &fit, &file, "--out", &file, "--engine", "cpu", "--force"];
    files.refused(&onto_itself, &["will not be replaced", "not an encoding"]);
    assert_eq!(std::fs::read(&file).expect("read"), activations);

    std::fs::remove_file(&out).expect("removed");
    unmix(&args).expect(0);
    let cosines = [&args[..], &["--cosines", "--force"]].concat();
    unmix(&cosines).expect(0);
    assert_eq!(tensor(&out, "cosines").0, [TOKENS, RANK]);
    for force in [&[][..], &["--force"]] {
        let to = |out: &str, words: &[&str]| {
            files.refused(&[&["encode", &fit, &file, "--out", out][..], force].concat(), words);
        };
        to(&files.path(""), &["is a folder", "name a file in it"]);
        to(&files.path("none/encoded.safetensors"), &["none/encoded.safetensors", "does not exist", "create it"]);
    }
}

#[test]
fn what_cannot_be_encoded_is_named_and_leaves_nothing_behind() {
    let (files, file, fit) = fitted(&[]);
    let out = files.path("encoded.safetensors");
    let refused = |fit: &str, file: &str, options: &[&str], words: &[&str]| {
        files.refused(&[&["encode", fit, file, "--out", &out, "--engine", "cpu"][..], options].concat(), words);
    };
    let narrow = files.npy("narrow.npy", &others(), 3);
    refused(&fit, &narrow, &[], &["narrow.npy", "3 neurons", "have 24", "the same layer"]);
    let mut x = others();
    x[5 * NEURONS + 7] = f32::NAN;
    let bad = files.npy("nan.npy", &x, NEURONS);
    refused(&fit, &bad, &[], &["nan.npy", "token 5, neuron 7", "NaN", "Leave out"]);
    let x = others();
    let two = files.tensors("two.safetensors", &[("a", &x, &[OTHERS, NEURONS]), ("b", &x, &[OTHERS, NEURONS])]);
    refused(&fit, &two, &[], &["two.safetensors", "several", "--tensor NAME"]);
    refused(&fit, &files.path("none.npy"), &[], &["none.npy", "no such file"]);
    refused(&files.path("none"), &file, &[], &["none", "no such", "check the path"]);
    refused(&file, &file, &[], &["x.safetensors", "not the folder of a fit", "`unmix fit` wrote"]);
    refused(&fit, &file, &["--penalty", "-1"], &["--penalty", "at least 0"]);
    refused(&fit, &file, &["--tolerance", "nan"], &["--tolerance", "finite"]);
}
