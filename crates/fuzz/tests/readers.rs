//! Every reader withstands inputs from a fixed seed: no panic, no hang, little memory, and the result is what it should
//! be. `cargo xtask fuzz` tries more inputs.

use std::path::Path;
use std::process::Command;

/// Tries this many inputs on a reader.
fn withstands(target: &str, executions: u32) {
    let failures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failures");
    let mut fuzz = Command::new(env!("CARGO_BIN_EXE_unmix-fuzz"));
    fuzz.args(["run", target, "--seed", "1", "--executions", &executions.to_string(), "--failures"]).arg(failures);
    let output = fuzz.output().expect("unmix-fuzz starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), format!("{target}: {executions} executions, none failed"));
}

#[test]
fn safetensors_files() {
    withstands("safetensors", 200_000);
}

#[test]
fn npy_files() {
    withstands("npy", 200_000);
}

#[test]
fn activations_in_shards() {
    withstands("shards", 50_000);
}

#[test]
fn columns_of_tokens() {
    withstands("token_columns", 200_000);
}

#[test]
fn texts_of_tokens() {
    withstands("token_texts", 200_000);
}

#[test]
fn vocabularies() {
    withstands("vocabulary", 200_000);
}

#[test]
fn labels_of_prompts() {
    withstands("labels", 200_000);
}

#[test]
fn folders_of_fits() {
    withstands("fit_folder", 200_000);
}

#[test]
fn weights_in_shards() {
    withstands("weights", 200_000);
}

#[test]
fn models_for_the_lens() {
    withstands("lens", 200_000);
}
