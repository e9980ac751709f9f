//! Layers with experts to which tokens are routed.

use unmix_interpret::{DownProjection, ReadoutOptions};

use crate::model::{D, M, Model, Oracle, Tensor, down, layer, llama, numbers, tensor, transposed};

const CONFIG: Option<&str> = Some(r#"{"model_type": "mixtral", "tie_word_embeddings": true, "rms_norm_eps": 1e-5}"#);

fn expert(expert: u32) -> ReadoutOptions {
    ReadoutOptions { expert: Some(expert), ..layer(1) }
}

/// A model whose layer 1 has the experts' tensors `experts` in place of its MLP.
fn model(experts: Vec<Tensor>) -> Model {
    let mut tensors = llama("model.");
    tensors.remove(1);
    tensors.extend(experts);
    Model::new(&tensors, CONFIG)
}

#[test]
fn experts_have_numbers_or_names() {
    for (before, behind) in [("mlp.experts.", ".down_proj.weight"), ("block_sparse_moe.experts.", ".w2.weight")] {
        let name = |expert: u32| format!("model.layers.1.{before}{expert}{behind}");
        let model = model(vec![
            tensor(&name(0), &[M, D], &numbers(21, M * D)),
            tensor(&name(1), &[M, D], &down()),
            tensor(&name(10), &[M, D], &numbers(22, M * D)),
        ]);
        let readout = model.readout(&expert(1));
        Oracle::rms(numbers(3, M), 1e-5).check(&readout);
        assert_eq!(readout.names().expert, Some(1));
        let named = ReadoutOptions { down_projection: Some(name(1)), ..ReadoutOptions::default() };
        Oracle::rms(numbers(3, M), 1e-5).check(&model.readout(&named));
        let text = model.refused(D, &layer(1));
        assert!(text.contains("say which expert the activations are from"), "{text}");
        assert!(model.refused(D, &expert(2)).contains("no expert 2; the layer has these experts: 0, 1, 10"));
        let other = ReadoutOptions { expert: Some(0), ..named };
        assert!(model.refused(D, &other).contains("is of expert 1, but expert 0 was asked for"));
    }
}

#[test]
fn experts_in_one_tensor_lie_either_way_round() {
    let stack = |matrices: [&[f32]; 3]| matrices.concat();
    let (first, last) = (numbers(21, M * D), numbers(22, M * D));
    let turned = transposed(&down(), M, D);
    for (shape, values) in [([3, M, D], stack([&first, &last, &down()])), ([3, D, M], stack([&first, &last, &turned]))]
    {
        let model = model(vec![tensor("model.layers.1.mlp.experts.down_proj", &shape, &values)]);
        let readout = model.readout(&expert(2));
        Oracle::rms(numbers(3, M), 1e-5).check(&readout);
        assert_eq!(readout.names().expert, Some(2));
        assert!(model.refused(D, &layer(1)).contains("say which expert"));
        assert!(model.refused(D, &expert(3)).contains("no expert 3; the layer has these experts: 0 to 2"));
        let named = "model.layers.1.mlp.experts.down_proj".to_owned();
        let named = ReadoutOptions { down_projection: Some(named), ..ReadoutOptions::default() };
        assert!(model.refused(D, &named).contains("say which expert"));
        Oracle::rms(numbers(3, M), 1e-5).check(&model.readout(&ReadoutOptions { expert: Some(2), ..named }));
    }
}

#[test]
fn the_shared_expert_is_told_by_its_size_or_by_name() {
    let shared = "model.layers.1.mlp.shared_expert.down_proj.weight";
    let of_size = |size: usize| {
        model(vec![
            tensor("model.layers.1.mlp.experts.0.down_proj.weight", &[M, size], &numbers(21, M * size)),
            tensor("model.layers.1.mlp.experts.1.down_proj.weight", &[M, size], &numbers(22, M * size)),
            tensor(shared, &[M, D], &down()),
        ])
    };
    Oracle::rms(numbers(3, M), 1e-5).check(&of_size(D - 1).readout(&layer(1)));
    assert!(of_size(D).refused(D, &layer(1)).contains("say which expert"));
    let named = ReadoutOptions { down_projection: Some(shared.to_owned()), ..ReadoutOptions::default() };
    Oracle::rms(numbers(3, M), 1e-5).check(&of_size(D).readout(&named));
    let with_a_number = ReadoutOptions { expert: Some(1), ..named };
    assert!(of_size(D).refused(D, &with_a_number).contains("no expert 1; the layer has these experts: none"));
}

#[test]
fn a_named_tensor_tells_its_layer_and_contradicts_another() {
    let model = Model::new(&llama("model."), CONFIG);
    let named = |name: &str, layer: Option<u32>| {
        let options = ReadoutOptions { layer, down_projection: Some(name.to_owned()), ..ReadoutOptions::default() };
        DownProjection::open(&model.weights(), D, &options)
    };
    let name = "model.layers.1.mlp.down_proj.weight";
    assert_eq!(named(name, None).expect("found").layer(), Some(1));
    assert_eq!(named(name, Some(1)).expect("found").layer(), Some(1));
    let text = named(name, Some(0)).expect_err("refused").to_string();
    assert!(text.contains("is of layer 1, but layer 0 was asked for"), "{text}");
    // A name without a number says nothing about the layer.
    let nameless = Model::new(&[tensor("down_proj", &[M, D], &down())], None);
    let open = |options: &ReadoutOptions| DownProjection::open(&nameless.weights(), D, options).expect("found").layer();
    assert_eq!((open(&ReadoutOptions::default()), open(&layer(7))), (None, Some(7)));
}
