//! Columns of tokens beside the activations.

use unmix::ActivationSource;
use unmix_data::{ActivationFile, OpenOptions};

use super::fixtures::safetensors;
use super::refusal::refused;
use crate::{File, Form, Target};

/// Columns of every type of whole numbers.
pub static TOKEN_COLUMNS: Target = Target {
    name: "token_columns",
    files: &[File { name: "activations.safetensors", form: Form::Safetensors }],
    words: &[
        "dtype",
        "shape",
        "data_offsets",
        "x",
        "token_ids",
        "prompt_ids",
        "sequence_ids",
        "positions",
        "I8",
        "I16",
        "I32",
        "I64",
        "U8",
        "U16",
        "U32",
        "U64",
        "F32",
        "BOOL",
    ],
    seeds: || {
        let columns = |tokens: &'static str, prompts: &'static str, positions: &'static str| {
            safetensors(&[
                ("token_ids", tokens, &[6]),
                ("prompt_ids", prompts, &[6]),
                ("positions", positions, &[6]),
                ("x", "F32", &[6, 1]),
            ])
        };
        let files = [
            columns("I64", "I32", "I16"),
            columns("U64", "U32", "U16"),
            columns("I8", "U8", "I64"),
            safetensors(&[("sequence_ids", "U64", &[3]), ("x", "F16", &[3, 2]), ("prompt_ids", "I8", &[3])]),
        ];
        files.map(|file| vec![file]).to_vec()
    },
    read: |folder| {
        let options = OpenOptions { tensor: Some("x".to_owned()) };
        let file = match ActivationFile::open(folder.join("activations.safetensors"), &options) {
            Ok(file) => file,
            Err(error) => return refused(&error),
        };
        let columns = match file.token_columns() {
            Ok(columns) => columns,
            Err(error) => return refused(&error),
        };
        let held = file.tensors();
        let is_held = |names: &[&str]| held.iter().any(|tensor| names.contains(&tensor.name.as_str()));
        for (column, names) in [
            (columns.token_ids, &["token_ids"][..]),
            (columns.prompt_ids, &["prompt_ids", "sequence_ids"]),
            (columns.positions, &["positions"]),
        ] {
            assert_eq!(column.is_some(), is_held(names), "{names:?}");
            assert!(column.is_none_or(|column| column.len() as u64 == file.tokens()), "{names:?}");
        }
    },
};
