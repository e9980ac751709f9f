//! What the type of a model says about it.

use unmix_interpret::{DownProjection, NormKind, Readout, ReadoutOptions, single_neurons};

use crate::model::{
    D, K, LLAMA, M, Model, Oracle, V, down, features, layer, llama, numbers, tensor, transposed, unembedding,
};

#[test]
fn llama_with_a_tied_and_with_a_separate_unembedding() {
    let oracle = Oracle::rms(numbers(3, M), 1e-6);
    let tied = r#"{"model_type": "llama", "tie_word_embeddings": true}"#;
    for prefix in ["model.", "model.language_model.", "language_model.model.", ""] {
        oracle.check(&Model::new(&llama(prefix), Some(tied)).readout(&layer(1)));
        // In this case the embedding is another matrix.
        let mut separate = llama(prefix);
        separate[3].3 = numbers(77, V * M);
        separate.push(tensor(
            if prefix == "language_model.model." { "language_model.lm_head.weight" } else { "lm_head.weight" },
            &[V, M],
            &unembedding(),
        ));
        let config = r#"{"model_type": "llava", "rms_norm_eps": 5.0,
            "text_config": {"model_type": "llama", "rms_norm_eps": 1e-6, "tie_word_embeddings": false}}"#;
        oracle.check(&Model::new(&separate, Some(config)).readout(&layer(1)));
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
        let oracle =
            |epsilon| Oracle { post: None, kind: NormKind::Layer, gain: numbers(3, M), bias: numbers(4, M), epsilon };
        // The only layer needs no number. Models with these names all have a layer norm, so they need no configuration.
        let config = r#"{"model_type": "gpt2", "layer_norm_epsilon": 1e-3}"#;
        for (config, epsilon) in [(Some(config), 1e-3), (None, 1e-5)] {
            let readout = Model::new(&tensors, config).readout(&ReadoutOptions::default());
            oracle(epsilon).check(&readout);
            assert_eq!(readout.bias(), Some(&numbers(8, M)[..]));
        }
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
    let opt = [
        tensor("model.decoder.layers.2.fc2.weight", &[M, D], &down()),
        tensor("model.decoder.layers.2.final_layer_norm.weight", &[M], &numbers(70, M)),
        tensor("model.decoder.final_layer_norm.weight", &[M], &gain),
        tensor("model.decoder.final_layer_norm.bias", &[M], &bias),
        tensor("model.decoder.embed_tokens.weight", &[V, M], &unembedding()),
    ];
    for (neox_config, opt_config) in
        [(Some(r#"{"model_type": "gpt_neox"}"#), Some(r#"{"model_type": "opt"}"#)), (None, None)]
    {
        oracle.check(&Model::new(&neox, neox_config).readout(&layer(0)));
        oracle.check(&Model::new(&opt, opt_config).readout(&layer(2)));
        // The embedding of GPT-NeoX is not its unembedding.
        let text = Model::new(&neox[..5], neox_config).refused(D, &layer(0));
        assert!(text.contains("no unembedding found") && text.contains("embed_out.weight"), "{text}");
    }
    // OPT-350m normalizes after its layers, so their outputs do not add up.
    let behind = r#"{"model_type": "opt", "do_layer_norm_before": false}"#;
    let text = Model::new(&opt, Some(behind)).refused(D, &layer(2));
    assert!(text.contains("do_layer_norm_before is false"), "{text}");
}

#[test]
fn gemma_stores_norms_as_their_difference_from_one() {
    let mut tensors = llama("model.");
    let post = numbers(6, M);
    tensors.push(tensor("model.layers.1.post_feedforward_layernorm.weight", &[M], &post));
    let oracle = |one: f64, epsilon: f64| Oracle {
        post: Some(post.iter().map(|&w| one + f64::from(w)).collect()),
        kind: if one > 0.0 { NormKind::RmsPlusOne } else { NormKind::Rms },
        gain: numbers(3, M),
        bias: vec![0.0; M],
        epsilon,
    };
    // OLMo 2 has this norm as well, but stores its weights unchanged.
    let olmo = r#"{"model_type": "olmo2", "tie_word_embeddings": true}"#;
    oracle(0.0, 1e-5).check(&Model::new(&tensors, Some(olmo)).readout(&layer(1)));
    let gemma = r#"{"model_type": "gemma2", "final_logit_softcapping": null}"#;
    oracle(1.0, 1e-6).check(&Model::new(&tensors, Some(gemma)).readout(&layer(1)));
    // Without the norm, the result would differ.
    let text = Model::new(&llama("model."), Some(gemma)).refused(D, &layer(1));
    assert!(text.contains("no norm behind the down-projection found"), "{text}");
    // Nothing says which of the two it is.
    let text = Model::new(&tensors, None).refused(D, &layer(1));
    assert!(text.contains("post_feedforward_layernorm") && text.contains("config.json"), "{text}");
    let told = ReadoutOptions {
        norm: Some(NormKind::RmsPlusOne),
        unembedding: Some("model.embed_tokens.weight".to_owned()),
        ..layer(1)
    };
    oracle(1.0, 1e-5).check(&Model::new(&tensors, None).readout(&told));
}

#[test]
fn the_norm_of_qwen_3_5_was_taken_for_one_that_stores_its_weights_as_they_are() {
    let config = r#"{"model_type": "qwen3_5", "tie_word_embeddings": true,
        "text_config": {"model_type": "qwen3_5_text", "rms_norm_eps": 1e-6, "num_hidden_layers": 2}}"#;
    let mut tensors = llama("model.language_model.");
    // Heads that predict further tokens, and towers for images, have layers of their own.
    for name in [
        "mtp.layers.0.mlp.down_proj.weight",
        "mtp.layers.1.mlp.down_proj.weight",
        "model.visual.blocks.1.mlp.down_proj.weight",
        "model.vision_tower.encoder.layers.1.mlp.down_proj.weight",
        "model.language_model.layers.2.mlp.down_proj.weight",
    ] {
        tensors.push(tensor(name, &[M, D], &numbers(55, M * D)));
    }
    tensors.push(tensor("mtp.norm.weight", &[M], &numbers(56, M)));
    let model = Model::new(&tensors, Some(config));
    let readout = model.readout(&layer(1));
    let oracle = Oracle { kind: NormKind::RmsPlusOne, ..Oracle::rms(numbers(3, M), 1e-6) };
    oracle.check(&readout);
    assert_eq!(readout.names().model_type.as_deref(), Some("qwen3_5_text"));
    assert_eq!(model.readout(&layer(0)).names().down_projection, "model.language_model.layers.0.mlp.down_proj.weight");
    // The configuration says how many layers there are. Layers with higher numbers predict further tokens as well.
    assert!(model.refused(D, &layer(2)).contains("no layer 2; the weights have the layers 0, 1"));
    let without_text = r#"{"model_type": "vaultgemma", "final_logit_softcapping": null}"#;
    oracle.check(&Model::new(&tensors, Some(without_text)).readout(&layer(1)));
}

#[test]
fn a_type_that_is_not_known_is_an_error_that_names_what_would_do() {
    let config = Some(r#"{"model_type": "novel", "final_logit_softcapping": 2.0}"#);
    let mut tensors = llama("model.");
    let model = Model::new(&tensors, config);
    let text = model.refused(D, &layer(1));
    for part in ["\"novel\"", "its down-projection", "its unembedding", "its final norm", "qwen3_5", "gemma2"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let nearly = ReadoutOptions {
        down_projection: Some("model.layers.1.mlp.down_proj.weight".to_owned()),
        unembedding: Some("model.embed_tokens.weight".to_owned()),
        final_norm: Some("model.norm.weight".to_owned()),
        ..ReadoutOptions::default()
    };
    let text = model.refused(D, &nearly);
    assert!(text.contains("name the kind of its final norm, or"), "{text}");
    let all = ReadoutOptions { norm: Some(NormKind::Rms), ..nearly.clone() };
    // A cap keeps the order of tokens.
    let readout = model.readout(&all);
    assert_eq!((readout.names().logit_cap, &readout.names().model_type), (Some(2.0), &None));
    let like = ReadoutOptions { model_type: Some("ernie4_5".to_owned()), ..layer(1) };
    Oracle::rms(numbers(3, M), 1e-5).check(&model.readout(&like));
    let unknown = ReadoutOptions { model_type: Some("newer".to_owned()), ..all };
    assert!(model.refused(D, &unknown).contains("\"newer\""));
    // Directions need less: only the place where they begin.
    let text = DownProjection::open(&model.weights(), D, &layer(1)).expect_err("refused").to_string();
    assert!(text.contains("name its down-projection, or"), "{text}");
    DownProjection::open(&model.weights(), D, &nearly).expect("a down-projection");
    // This does not hold if a norm follows the layer.
    tensors.push(tensor("model.layers.1.post_feedforward_layernorm.weight", &[M], &numbers(6, M)));
    let text = DownProjection::open(&Model::new(&tensors, config).weights(), D, &nearly).expect_err("refused");
    assert!(text.to_string().contains("post_feedforward_layernorm"), "{text}");
}

#[test]
fn without_a_type_the_norm_of_names_like_llamas_is_not_guessed() {
    for config in [None, Some(r#"{"rms_norm_eps": 1e-5}"#), Some(r#"{"model_type": null}"#)] {
        let mut tensors = llama("model.");
        tensors.push(tensor("lm_head.weight", &[V, M], &unembedding()));
        let model = Model::new(&tensors, config);
        let text = model.refused(D, &layer(1));
        assert!(
            text.contains("\"model.norm.weight\"") && text.contains("no config.json with a `model_type`"),
            "{text}"
        );
        let told = ReadoutOptions { norm: Some(NormKind::Rms), ..layer(1) };
        Oracle::rms(numbers(3, M), 1e-5).check(&model.readout(&told));
        // The lens does not assume either that the embedding is the unembedding.
        let text = Model::new(&llama("model."), config).refused(D, &told);
        assert!(text.contains("no unembedding found"), "{text}");
    }
}

#[test]
fn entries_of_the_configuration_that_make_no_sense_are_told() {
    for (config, expected) in [
        (r#"{"model_type": "gemma2", "final_logit_softcapping": 0}"#, "final_logit_softcapping is 0"),
        (r#"{"model_type": "cohere", "logit_scale": "large"}"#, "logit_scale is \"large\""),
        (r#"{"model_type": "granite", "logits_scaling": 0.0, "tie_word_embeddings": true}"#, "logits_scaling is 0"),
        (r#"{"model_type": "smollm3", "rms_norm_eps": [1]}"#, "rms_norm_eps is [1]"),
    ] {
        let mut tensors = llama("model.");
        tensors.push(tensor("model.layers.1.post_feedforward_layernorm.weight", &[M], &numbers(6, M)));
        let text = Model::new(&tensors, Some(config)).refused(D, &layer(1));
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_square_down_projection_lies_as_in_its_family() {
    let square = numbers(1, M * M);
    let open = |name: &str, norm: &str, embedding: &str, config: Option<&str>| {
        let tensors = [
            tensor(name, &[M, M], &square),
            tensor(norm, &[M], &[1.0; M]),
            tensor("transformer.ln_f.bias", &[M], &[1.0; M]),
            tensor(embedding, &[V, M], &unembedding()),
        ];
        Readout::open(&Model::new(&tensors, config).weights(), M, &ReadoutOptions::default()).map(|readout| {
            let neuron = single_neurons(&[2], M).expect("a neuron");
            readout.directions(&neuron).expect("directions").values
        })
    };
    let column: Vec<f32> = (0..M).map(|i| square[i * M + 2]).collect();
    let gpt = ["transformer.h.0.mlp.c_proj.weight", "transformer.ln_f.weight", "transformer.wte.weight"];
    let gpt = |config| open(gpt[0], gpt[1], gpt[2], config);
    assert_eq!(gpt(Some(r#"{"model_type": "gpt2"}"#)).expect("a readout"), square[2 * M..3 * M]);
    assert_eq!(gpt(Some(r#"{"model_type": "gpt_neo"}"#)).expect("a readout"), column);
    let text = gpt(None).expect_err("refused").to_string();
    assert!(text.contains("is square"), "{text}");
    let llama = open("model.layers.0.mlp.down_proj.weight", "model.norm.weight", "model.embed_tokens.weight", LLAMA);
    assert_eq!(llama.expect("a readout"), column);
}

#[test]
fn rows_of_the_unembedding_behind_the_vocabulary_are_no_tokens() {
    const TOKENS: usize = 4000;
    let config = format!(r#"{{"model_type": "smollm3", "vocab_size": {TOKENS}}}"#);
    let readout = Model::new(&llama("model."), Some(&config)).readout(&layer(1));
    assert_eq!((readout.tokens(), readout.padding()), (TOKENS, V - TOKENS));
    let directions = readout.directions(&features()).expect("directions");
    let reading = |readout: &Readout| readout.read(&directions, usize::MAX).expect("readings")[0].clone();
    let all = reading(&readout);
    assert!(all.promoted.iter().all(|token| (token.token_id as usize) < TOKENS));
    // The mean is over these tokens only.
    let mean = all.promoted.iter().map(|token| f64::from(token.logit)).sum::<f64>() / TOKENS as f64;
    assert!(all.promoted.len() == TOKENS && mean.abs() < 1e-5, "{mean}");
    // A vocabulary may have even fewer tokens.
    let fewer = readout.with_tokens(17);
    assert_eq!((fewer.tokens(), fewer.padding(), reading(&fewer).promoted.len()), (17, V - 17, 17));
    assert_eq!(fewer.with_tokens(V).tokens(), 17);
}

#[test]
fn what_a_feature_writes_alone_is_its_direction_unless_a_norm_is_behind_it() {
    let coefficients = [2.0, 0.5, 30.0, 1.0, 1.0];
    let mut tensors = llama("model.");
    let plain = DownProjection::open(&Model::new(&tensors, LLAMA).weights(), D, &layer(1)).expect("a down-projection");
    assert_eq!(plain.layer(), Some(1));
    let directions = plain.directions(&features()).expect("directions");
    let norm = |row: &[f32]| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let written = plain.written_norms(&features(), &coefficients).expect("norms");
    for (k, written) in written.iter().enumerate() {
        let expected = f64::from(coefficients[k]) * norm(directions.row(k));
        assert!((f64::from(*written) - expected).abs() <= 1e-5 * expected, "{written} for {expected}");
    }
    let post = numbers(6, M);
    tensors.push(tensor("model.layers.1.post_feedforward_layernorm.weight", &[M], &post));
    let olmo = Model::new(&tensors, Some(r#"{"model_type": "olmo2"}"#)).weights();
    let normed = DownProjection::open(&olmo, D, &layer(1)).expect("a down-projection");
    let written = normed.written_norms(&features(), &coefficients).expect("norms");
    for (k, written) in written.iter().enumerate().take(K - 1) {
        let size = norm(directions.row(k)) / (M as f64).sqrt();
        let expected: f64 =
            directions.row(k).iter().zip(&post).map(|(r, w)| (f64::from(*r) / size * f64::from(*w)).powi(2)).sum();
        assert!((f64::from(*written) - expected.sqrt()).abs() < 1e-3, "{written} for {}", expected.sqrt());
    }
    assert_eq!(written[K - 1], 0.0);
    assert!(normed.written_norms(&features(), &coefficients[1..]).is_err());
}
