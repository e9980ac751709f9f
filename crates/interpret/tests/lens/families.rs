//! Weights of every family of models, by their names alone and in every form of file.

use std::path::PathBuf;

use safetensors::Dtype;
use unmix_data::Weights;
use unmix_interpret::{NormKind, Readout, ReadoutOptions, single_neurons};

use crate::model::{D, M, Model, Oracle, V, down, layer, llama, numbers, tensor, transposed, unembedding, write};

#[test]
fn llama_with_a_tied_and_with_a_separate_unembedding() {
    let oracle = Oracle::rms(numbers(3, M), 1e-6);
    for prefix in ["model.", "model.language_model.", "language_model.model.", ""] {
        oracle.check(&Model::new(&llama(prefix), Some(r#"{"rms_norm_eps": 1e-6}"#)).readout(&layer(1)));
        // The embedding is another one, then.
        let mut separate = llama(prefix);
        separate[3].3 = numbers(77, V * M);
        separate.push(tensor(
            if prefix == "language_model.model." { "language_model.lm_head.weight" } else { "lm_head.weight" },
            &[V, M],
            &unembedding(),
        ));
        let config = r#"{"text_config": {"rms_norm_eps": 1e-6, "tie_word_embeddings": false}, "rms_norm_eps": 5.0}"#;
        oracle.check(&Model::new(&separate, Some(config)).readout(&layer(1)));
    }
}

#[test]
fn weights_in_f16_bf16_and_f64() {
    for dtype in [Dtype::F16, Dtype::BF16, Dtype::F64] {
        let mut tensors = llama("model.");
        tensors.iter_mut().for_each(|tensor| tensor.1 = dtype);
        Oracle::rms(numbers(3, M), 1e-5).check(&Model::new(&tensors, None).readout(&layer(1)));
    }
}

#[test]
fn gpt_2_has_its_matrices_the_other_way_round_and_a_layer_norm() {
    for prefix in ["transformer.", ""] {
        let tensors = [
            tensor(&format!("{prefix}h.3.mlp.c_proj.weight"), &[D, M], &transposed(&down(), M, D)),
            tensor(&format!("{prefix}h.3.mlp.c_proj.bias"), &[M], &numbers(8, M)),
            tensor(&format!("{prefix}h.3.attn.c_proj.weight"), &[M, M], &numbers(9, M * M)),
            tensor(&format!("{prefix}ln_f.weight"), &[M], &numbers(3, M)),
            tensor(&format!("{prefix}ln_f.bias"), &[M], &numbers(4, M)),
            tensor(&format!("{prefix}wte.weight"), &[V, M], &unembedding()),
        ];
        let (gain, bias) = (numbers(3, M), numbers(4, M));
        let oracle = Oracle { post: None, kind: NormKind::Layer, gain, bias, epsilon: 1e-3 };
        // The only layer needs no number.
        let readout = Model::new(&tensors, Some(r#"{"layer_norm_epsilon": 1e-3}"#)).readout(&ReadoutOptions::default());
        oracle.check(&readout);
        assert_eq!(readout.bias(), Some(&numbers(8, M)[..]));
    }
}

#[test]
fn gpt_neox_and_opt() {
    let (gain, bias) = (numbers(3, M), numbers(4, M));
    let oracle = Oracle { post: None, kind: NormKind::Layer, gain: gain.clone(), bias: bias.clone(), epsilon: 1e-5 };
    let neox = [
        tensor("gpt_neox.layers.0.mlp.dense_4h_to_h.weight", &[M, D], &down()),
        tensor("gpt_neox.layers.0.mlp.dense_4h_to_h.bias", &[M], &numbers(8, M)),
        tensor("gpt_neox.final_layer_norm.weight", &[M], &gain),
        tensor("gpt_neox.final_layer_norm.bias", &[M], &bias),
        tensor("gpt_neox.embed_in.weight", &[V, M], &numbers(77, V * M)),
        tensor("embed_out.weight", &[V, M], &unembedding()),
    ];
    oracle.check(&Model::new(&neox, None).readout(&layer(0)));
    // Its embedding is no unembedding.
    let text = Model::new(&neox[..5], None).refused(D, &layer(0));
    assert!(text.contains("no unembedding found") && text.contains("embed_out.weight"), "{text}");
    let opt = [
        tensor("model.decoder.layers.2.fc2.weight", &[M, D], &down()),
        tensor("model.decoder.layers.2.final_layer_norm.weight", &[M], &numbers(70, M)),
        tensor("model.decoder.final_layer_norm.weight", &[M], &gain),
        tensor("model.decoder.final_layer_norm.bias", &[M], &bias),
        tensor("model.decoder.embed_tokens.weight", &[V, M], &unembedding()),
    ];
    oracle.check(&Model::new(&opt, None).readout(&layer(2)));
}

#[test]
fn gemma_stores_norms_as_their_difference_from_one() {
    let mut tensors = llama("model.");
    let post = numbers(6, M);
    tensors.push(tensor("model.layers.1.post_feedforward_layernorm.weight", &[M], &post));
    let oracle = |one: f64| Oracle {
        post: Some(post.iter().map(|&w| one + f64::from(w)).collect()),
        kind: if one > 0.0 { NormKind::RmsPlusOne } else { NormKind::Rms },
        gain: numbers(3, M),
        bias: vec![0.0; M],
        epsilon: 1e-5,
    };
    // OLMo 2 has that norm as well, but stores it as it is.
    oracle(0.0).check(&Model::new(&tensors, None).readout(&layer(1)));
    oracle(0.0).check(&Model::new(&tensors, Some(r#"{"model_type": "olmo2"}"#)).readout(&layer(1)));
    oracle(1.0).check(&Model::new(&tensors, Some(r#"{"model_type": "gemma2"}"#)).readout(&layer(1)));
    let stated = ReadoutOptions { norm: Some(NormKind::RmsPlusOne), ..layer(1) };
    oracle(1.0).check(&Model::new(&tensors, None).readout(&stated));
    tensors.push(tensor("model.layers.1.pre_feedforward_layernorm.weight", &[M], &post));
    oracle(1.0).check(&Model::new(&tensors, None).readout(&layer(1)));
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
        // A file of one layer may be of any.
        for options in [ReadoutOptions::default(), layer(12)] {
            Oracle::rms(numbers(3, M), 0.25).check(&Readout::open(&weights, D, &options).expect("a readout"));
        }
        let options = ReadoutOptions { epsilon: Some(0.5), ..ReadoutOptions::default() };
        Oracle::rms(numbers(3, M), 0.5).check(&Readout::open(&weights, D, &options).expect("a readout"));
        let options = ReadoutOptions { norm: Some(NormKind::None), ..ReadoutOptions::default() };
        let oracle = Oracle { kind: NormKind::None, ..Oracle::rms(Vec::new(), 0.0) };
        oracle.check(&Readout::open(&weights, D, &options).expect("a readout"));
    }
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
        ..ReadoutOptions::default()
    };
    let (gain, bias) = (numbers(3, M), numbers(4, M));
    let readout = model.readout(&options);
    Oracle { post: None, kind: NormKind::Layer, gain: gain.clone(), bias, epsilon: 1e-5 }.check(&readout);
    assert_eq!(readout.bias(), Some(&numbers(8, M)[..]));
    let options = ReadoutOptions { norm: Some(NormKind::Rms), ..options };
    Oracle::rms(gain, 1e-5).check(&model.readout(&options));
}

#[test]
fn a_square_down_projection_lies_as_in_its_family() {
    let square = numbers(1, M * M);
    let read = |name: &str, norm: &str, embedding: &str| {
        let tensors =
            [tensor(name, &[M, M], &square), tensor(norm, &[M], &[1.0; M]), tensor(embedding, &[V, M], &unembedding())];
        let readout = Readout::open(&Model::new(&tensors, None).weights(), M, &ReadoutOptions::default());
        let neuron = single_neurons(&[2], M).expect("a neuron");
        readout.expect("a readout").directions(&neuron).expect("directions").values
    };
    let column: Vec<f32> = (0..M).map(|i| square[i * M + 2]).collect();
    assert_eq!(read("h.0.mlp.c_proj.weight", "ln_f.weight", "wte.weight"), square[2 * M..3 * M]);
    assert_eq!(read("layers.0.mlp.down_proj.weight", "norm.weight", "embed_tokens.weight"), column);
    assert_eq!(read("down_proj", "final_norm", "unembedding"), column);
}
