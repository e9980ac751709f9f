//! Activations in shards.

use super::activations::open_set;
use super::fixtures::safetensors;
use crate::{File, Form, Target};

const INDEX: &str = "x.safetensors.index.json";

/// An index and two shards, one of tokens and one that may be a batch.
pub static SHARDS: Target = Target {
    name: "shards",
    files: &[
        File { name: INDEX, form: Form::Text },
        File { name: "x-2.safetensors", form: Form::Safetensors },
        File { name: "x-10.safetensors", form: Form::Safetensors },
    ],
    words: &[
        "weight_map",
        "metadata",
        "x-2.safetensors",
        "x-10.safetensors",
        ".",
        "..",
        "x",
        "mask",
        "attention_mask",
        "input_ids",
        "token_ids",
        "prompt_ids",
        "positions",
        "dtype",
        "shape",
        "data_offsets",
        "F32",
        "BOOL",
        "I32",
    ],
    seeds: || {
        let index = r#"{"metadata": {}, "weight_map": {"x": "x-10.safetensors", "mask": "x-2.safetensors"}}"#;
        let tokens = [("x", "F32", &[4usize, 2][..]), ("prompt_ids", "I32", &[4])];
        let plain = [("x", "F32", &[3usize, 2][..]), ("prompt_ids", "U8", &[3])];
        let columns = [("x", "F32", &[6usize, 2][..]), ("prompt_ids", "I64", &[6]), ("positions", "I8", &[6])];
        let batch = [("x", "F32", &[2usize, 3, 2][..]), ("prompt_ids", "I32", &[2]), ("mask", "BOOL", &[2, 3])];
        let pairs = [(&tokens[..], &plain[..]), (&columns[..], &batch[..])];
        pairs.map(|(a, b)| vec![index.as_bytes().to_vec(), safetensors(a), safetensors(b)]).to_vec()
    },
    read: |folder| {
        // As a folder that has an index, as files, and as a folder without one.
        open_set(folder, None);
        open_set(&folder.join(INDEX), Some("x"));
        open_set(&folder.join("x-10.safetensors"), None);
        if std::fs::remove_file(folder.join(INDEX)).is_ok() {
            open_set(folder, None);
        }
    },
};
