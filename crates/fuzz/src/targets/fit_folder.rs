//! The folder of a fit.

use std::path::Path;

use unmix::{CpuEngine, Engine, HostActivations, SemiNmf};
use unmix_data::{
    FACTORIZATION_FILE, FitRecord, InputRecord, Origin, RUN_FILE, TokenColumns, TokenFilter, read_fit, write_fit,
};

use super::refusal::refused;
use crate::{File, Form, Target};

/// `run.json` and `factorization.safetensors`.
pub static FIT_FOLDER: Target = Target {
    name: "fit_folder",
    files: &[File { name: RUN_FILE, form: Form::Text }, File { name: FACTORIZATION_FILE, form: Form::Safetensors }],
    words: &[
        "format_version",
        "unmix_version",
        "command_line",
        "input",
        "path",
        "tensor",
        "fingerprint",
        "tokens",
        "neurons",
        "element",
        "relative_error",
        "iterations",
        "stop_reason",
        "loss_curve",
        "revived",
        "dead_features",
        "feature_statistics",
        "options",
        "rank",
        "solver",
        "init",
        "projected-ls",
        "hals",
        "coefficients",
        "features",
        "token_ids",
        "dtype",
        "shape",
        "data_offsets",
        "F32",
        "F64",
    ],
    seeds: || {
        let all = TokenColumns {
            token_ids: Some(vec![1, 2, 3, 1 << 40]),
            prompt_ids: Some(vec![0, 0, 1, 1]),
            positions: Some(vec![0, 1, 0, 1]),
            rows: Some(vec![0, 1, 3, 9]),
        };
        vec![files(&record(all)), files(&record(TokenColumns::default()))]
    },
    read: |folder| match read_fit(folder) {
        Ok(record) => examine(&record, folder),
        Err(error) => refused(&error),
    },
};

/// Checks that the parts of a fit agree, and that it can be written and read again.
fn examine(record: &FitRecord, folder: &Path) {
    let (features, coefficients, run) = (&record.features, &record.coefficients, &record.run);
    assert_eq!(features.values.len(), features.rows * features.columns);
    assert_eq!(coefficients.values.len(), coefficients.rows * coefficients.columns);
    assert_eq!(features.rows, coefficients.columns);
    assert_eq!(run.summary.feature_statistics.len(), features.rows);
    assert!(features.values.iter().all(|value| value.is_finite()));
    assert!(coefficients.values.iter().all(|value| value.is_finite() && *value >= 0.0));

    let copy = folder.join("copy");
    write_fit(&copy, record, true).expect("what was read can be written");
    let again = read_fit(&copy).expect("what was written can be read");
    std::fs::remove_dir_all(copy).expect("removed");
    assert_eq!((&again.features, &again.coefficients), (features, coefficients));
    assert_eq!((&again.columns, &again.run), (&record.columns, run));
}

/// A fit of four tokens, the same each time.
fn record(columns: TokenColumns) -> FitRecord {
    let x = vec![1.0, -1.0, 0.0, 0.0, 2.0, -2.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 2.0, 4.0];
    let engine = CpuEngine::new();
    let x = HostActivations::from_f32(x, 4, 4).expect("activations");
    let activations = engine.load(&x).expect("loaded");
    let fit = SemiNmf::new(2).sparsity(0.5).fit(&engine, &activations).expect("a fit");
    let input = InputRecord {
        paths: vec!["some/activations.npy".into()],
        stored_tokens: if columns.rows.is_some() { 10 } else { 4 },
        filter: TokenFilter::default(),
        origin: Origin::default(),
        tensor: None,
        fingerprint: format!("blake3:{}", "0".repeat(64)),
        tokens: 4,
        neurons: 4,
        element: "f32".to_owned(),
    };
    let mut record = FitRecord::new(fit, columns, input);
    let summary = &mut record.run.summary;
    // Inputs that are made from this one must be the same tomorrow and on other machines.
    (summary.seconds, summary.start_seconds) = (1.0, 0.5);
    summary.seconds_curve.iter_mut().for_each(|seconds| *seconds = 0.75);
    summary.adapter = "a processor".to_owned();
    record
}

/// The files of a fit.
fn files(record: &FitRecord) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let fit = folder.path().join("fit");
    write_fit(&fit, record, false).expect("written");
    FIT_FOLDER.files.iter().map(|file| std::fs::read(fit.join(file.name)).expect("read")).collect()
}
