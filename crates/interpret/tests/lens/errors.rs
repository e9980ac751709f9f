//! Weights and features that do not match.

use safetensors::Dtype;
use unmix::DenseMatrix;
use unmix_interpret::{Readout, ReadoutOptions, single_neurons};

use crate::model::{D, LLAMA, M, Model, features, layer, llama, numbers, tensor};

#[test]
fn what_does_not_fit_is_told() {
    let model = Model::new(&llama("model."), LLAMA);
    let text = model.refused(D, &ReadoutOptions::default());
    assert!(text.contains("several") && text.contains("model.layers.0.mlp.down_proj.weight"), "{text}");
    assert!(text.contains("say which layer"), "{text}");
    assert!(model.refused(D, &layer(2)).contains("no layer 2; the weights have the layers 0, 1"));
    let text = model.refused(D + 1, &layer(1));
    assert!(text.contains("[7, 11]") && text.contains("a side of 12, the neurons of the features"), "{text}");
    let options = ReadoutOptions { unembedding: Some("model.layers.0.mlp.down_proj.weight".to_owned()), ..layer(1) };
    assert!(model.refused(D, &options).contains("[vocabulary, 7]"));
    let options = ReadoutOptions { unembedding: Some("nothing".to_owned()), ..layer(1) };
    assert!(model.refused(D, &options).contains("no tensor named \"nothing\""));
    let options = ReadoutOptions { epsilon: Some(-1.0), ..layer(1) };
    assert!(Readout::open(&model.weights(), D, &options).expect_err("refused").to_string().contains("epsilon"));

    let text = Model::new(&llama("model."), Some(r#"{"model_type": "llama", "tie_word_embeddings": false}"#))
        .refused(D, &layer(1));
    assert!(text.contains("no unembedding found; looked for") && text.contains("lm_head.weight"), "{text}");
    let mut without_norm = llama("model.");
    without_norm.remove(2);
    assert!(Model::new(&without_norm, LLAMA).refused(D, &layer(1)).contains("no final norm found"));
    let mut short = llama("model.");
    short[2] = tensor("model.norm.weight", &[M - 1], &numbers(3, M - 1));
    assert!(Model::new(&short, LLAMA).refused(D, &layer(1)).contains("7 entries"));
    let mut quantised = llama("model.");
    quantised[1].1 = Dtype::I8;
    assert!(Model::new(&quantised, LLAMA).refused(D, &layer(1)).contains("quantised"));

    let readout = model.readout(&layer(1));
    let narrow = DenseMatrix { rows: 1, columns: 3, values: vec![1.0; 3] };
    let text = readout.directions(&narrow).expect_err("refused").to_string();
    assert!(text.contains("the features have 3 columns, but the weights 11"), "{text}");
    let infinite = DenseMatrix { rows: 1, columns: M, values: vec![f32::INFINITY; M] };
    assert!(readout.read(&infinite, 3).expect_err("refused").to_string().contains("direction 0"));
    let text = single_neurons(&[0, D], D).expect_err("refused").to_string();
    assert!(text.contains("no neuron 11; there are neurons 0 to 10"), "{text}");
}

#[test]
fn weights_that_are_not_finite_are_an_error() {
    let mut tensors = llama("model.");
    tensors[3].3[5 * M + 2] = f32::NAN;
    let readout = Model::new(&tensors, LLAMA).readout(&layer(1));
    let directions = readout.directions(&features()).expect("directions");
    let text = readout.read(&directions, 3).expect_err("refused").to_string();
    assert!(text.contains("embed_tokens") && text.contains("row 5, column 2") && text.contains("NaN"), "{text}");
}
