//! Weights in every form of file.

use std::path::PathBuf;

use safetensors::Dtype;
use unmix_data::Weights;
use unmix_interpret::{NormKind, Readout, ReadoutOptions};

use crate::model::{
    D, LLAMA, M, Model, Oracle, V, down, layer, llama, numbers, tensor, transposed, unembedding, write,
};

#[test]
fn weights_in_f16_bf16_and_f64() {
    for dtype in [Dtype::F16, Dtype::BF16, Dtype::F64] {
        let mut tensors = llama("model.");
        tensors.iter_mut().for_each(|tensor| tensor.1 = dtype);
        Oracle::rms(numbers(3, M), 1e-5).check(&Model::new(&tensors, LLAMA).readout(&layer(1)));
    }
}

#[test]
fn a_model_in_shards() {
    let folder = tempfile::tempdir().expect("a folder");
    let tensors = llama("model.");
    write(&folder.path().join("a-00001-of-00002.safetensors"), &tensors[..2], None);
    write(&folder.path().join("a-00002-of-00002.safetensors"), &tensors[2..], None);
    let map: serde_json::Map<String, serde_json::Value> = tensors
        .iter()
        .enumerate()
        .map(|(i, t)| (t.0.clone(), format!("a-0000{}-of-00002.safetensors", i / 2 + 1).into()))
        .collect();
    std::fs::write(folder.path().join("config.json"), LLAMA.expect("a configuration")).expect("written");
    let index = folder.path().join("a.safetensors.index.json");
    std::fs::write(&index, serde_json::json!({ "weight_map": map }).to_string()).expect("written");
    let parts: Vec<PathBuf> = (1..3).map(|i| folder.path().join(format!("a-0000{i}-of-00002.safetensors"))).collect();
    for paths in [vec![folder.path().to_owned()], vec![index], parts] {
        let weights = Weights::open(&paths).expect("weights");
        Oracle::rms(numbers(3, M), 1e-5).check(&Readout::open(&weights, D, &layer(1)).expect("a readout"));
    }
}

#[test]
fn files_that_hold_one_thing_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let (down_path, rest) = (folder.path().join("down.safetensors"), folder.path().join("rest.safetensors"));
    for (shape, values) in [([M, D], down()), ([D, M], transposed(&down(), M, D))] {
        write(&down_path, &[tensor("down_proj", &shape, &values)], None);
        let tensors = [tensor("unembedding", &[V, M], &unembedding()), tensor("final_norm", &[M], &numbers(3, M))];
        let metadata = [("eps", "0.25"), ("norm", "rms")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        write(&rest, &tensors, Some(metadata.into()));
        let weights = Weights::open(&[down_path.clone(), rest.clone()]).expect("weights");
        // A file of one layer may be of any layer.
        for options in [ReadoutOptions::default(), layer(12)] {
            Oracle::rms(numbers(3, M), 0.25).check(&Readout::open(&weights, D, &options).expect("a readout"));
        }
        let options = ReadoutOptions { epsilon: Some(0.5), ..ReadoutOptions::default() };
        Oracle::rms(numbers(3, M), 0.5).check(&Readout::open(&weights, D, &options).expect("a readout"));
        let options = ReadoutOptions { norm: Some(NormKind::None), ..ReadoutOptions::default() };
        let oracle = Oracle { kind: NormKind::None, ..Oracle::rms(Vec::new(), 0.0) };
        oracle.check(&Readout::open(&weights, D, &options).expect("a readout"));
    }
    // Without metadata, nothing says which kind of norm it is.
    write(&rest, &[tensor("unembedding", &[V, M], &unembedding()), tensor("final_norm", &[M], &numbers(3, M))], None);
    let weights = Weights::open(&[down_path.clone(), rest.clone()]).expect("weights");
    let text = Readout::open(&weights, D, &ReadoutOptions::default()).expect_err("refused").to_string();
    assert!(text.contains("\"final_norm\""), "{text}");
    let metadata = [("norm".to_owned(), "root".to_owned())];
    write(
        &rest,
        &[tensor("unembedding", &[V, M], &unembedding()), tensor("final_norm", &[M], &numbers(3, M))],
        Some(metadata.into()),
    );
    let weights = Weights::open(&[down_path, rest]).expect("weights");
    let text = Readout::open(&weights, D, &ReadoutOptions::default()).expect_err("refused").to_string();
    assert!(text.contains("norm = \"root\"; expected rms"), "{text}");
}

#[test]
fn names_that_nobody_knows_can_be_given() {
    let tensors = [
        tensor("blocks.1.out", &[D, M], &transposed(&down(), M, D)),
        tensor("blocks.1.shift", &[M], &numbers(8, M)),
        tensor("words", &[V, M], &unembedding()),
        tensor("gain", &[M], &numbers(3, M)),
        tensor("gain.bias", &[M], &numbers(4, M)),
    ];
    let model = Model::new(&tensors, None);
    let text = model.refused(D, &ReadoutOptions::default());
    assert!(text.contains("no down-projection found") && text.contains("layers.N.mlp.down_proj.weight"), "{text}");
    assert!(text.contains("blocks.1.out [11, 7]"), "{text}");
    let options = ReadoutOptions {
        down_projection: Some("blocks.1.out".to_owned()),
        unembedding: Some("words".to_owned()),
        final_norm: Some("gain".to_owned()),
        bias: Some("blocks.1.shift".to_owned()),
        norm: Some(NormKind::Layer),
        ..ReadoutOptions::default()
    };
    let (gain, bias) = (numbers(3, M), numbers(4, M));
    let readout = model.readout(&options);
    let untold = ReadoutOptions { norm: None, ..options.clone() };
    assert!(model.refused(D, &untold).contains("\"gain\""));
    Oracle { post: None, kind: NormKind::Layer, gain: gain.clone(), bias, epsilon: 1e-5 }.check(&readout);
    assert_eq!(readout.bias(), Some(&numbers(8, M)[..]));
    let options = ReadoutOptions { norm: Some(NormKind::Rms), ..options };
    Oracle::rms(gain, 1e-5).check(&model.readout(&options));
}
