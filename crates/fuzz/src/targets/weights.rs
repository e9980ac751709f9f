//! The weights of a model in shards.

use unmix_data::Weights;

use super::fixtures::safetensors;
use super::refusal::refused;
use crate::{File, Form, Target};

const INDEX: &str = "model.safetensors.index.json";

/// An index, a configuration and two shards.
pub static WEIGHTS: Target = Target {
    name: "weights",
    files: &[
        File { name: INDEX, form: Form::Text },
        File { name: "config.json", form: Form::Text },
        File { name: "model-00001-of-00002.safetensors", form: Form::Safetensors },
        File { name: "model-00002-of-00002.safetensors", form: Form::Safetensors },
    ],
    words: &[
        "weight_map",
        "metadata",
        "total_size",
        "a.weight",
        "b.weight",
        "b.bias",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "config.json",
        ".",
        "..",
        "dtype",
        "shape",
        "data_offsets",
        "F32",
        "F8_E4M3",
    ],
    seeds: || {
        let index = r#"{"metadata": {"total_size": 100}, "weight_map": {"a.weight": "model-00001-of-00002.safetensors",
            "b.weight": "model-00002-of-00002.safetensors", "b.bias": "model-00002-of-00002.safetensors"}}"#;
        vec![vec![
            index.as_bytes().to_vec(),
            br#"{"model_type": "llama", "text_config": {"rms_norm_eps": 1e-6}}"#.to_vec(),
            safetensors(&[("a.weight", "F32", &[3, 2]), ("other", "I64", &[1])]),
            safetensors(&[("b.weight", "BF16", &[2, 5]), ("b.bias", "F64", &[2])]),
        ]]
    },
    read: |folder| {
        for path in [folder.join(INDEX), folder.to_owned()] {
            match Weights::open(&[path]) {
                Ok(weights) => examine(&weights),
                Err(error) => refused(&error),
            }
        }
    },
};

/// Checks that what is named is there, and that what is there can be read or is refused.
fn examine(weights: &Weights) {
    assert!(weights.names().len() > 0 || weights.paths().len() > 0, "weights without files");
    for name in weights.names() {
        let shape = weights.shape(name).expect("a tensor that is named");
        assert!(weights.path(name).is_some() && weights.metadata(name).is_some(), "{name:?}");
        match weights.matrix(name) {
            Ok(matrix) => {
                assert_eq!(shape, [matrix.rows() as u64, matrix.columns() as u64]);
                let mut all = vec![0.0; matrix.rows() * matrix.columns()];
                match matrix.read_rows(0..matrix.rows(), &mut all) {
                    Ok(()) => assert!(all.iter().all(|value| value.is_finite()), "{name:?}"),
                    Err(error) => refused(&error),
                }
            }
            Err(error) => refused(&error),
        }
        match weights.vector(name) {
            Ok(vector) => {
                assert_eq!(shape, [vector.len() as u64]);
                assert!(vector.iter().all(|value| value.is_finite()), "{name:?}");
            }
            Err(error) => refused(&error),
        }
    }
    refused(&weights.matrix("no such tensor").expect_err("a tensor that is not there"));
}
