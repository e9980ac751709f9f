//! The logit lens: a model's configuration and weights.

use unmix::DenseMatrix;
use unmix_data::Weights;
use unmix_interpret::{LensError, Readout, ReadoutOptions, single_neurons};

use super::fixtures::safetensors;
use super::refusal::{refused, refused_by_lens};
use crate::{File, Form, Target};

/// Neurons of the models.
const NEURONS: usize = 6;

/// Models of several families.
pub static LENS: Target = Target {
    name: "lens",
    files: &[
        File { name: "config.json", form: Form::Text },
        File { name: "model.safetensors", form: Form::Safetensors },
    ],
    words: &[
        "model_type",
        "text_config",
        "tie_word_embeddings",
        "rms_norm_eps",
        "layer_norm_eps",
        "layer_norm_epsilon",
        "thinker_config",
        "final_logit_softcapping",
        "logit_scale",
        "logits_scaling",
        "residual_multiplier",
        "num_hidden_layers",
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "gemma2",
        "gpt2",
        "llama",
        "gpt_neox",
        "qwen3",
        "olmo2",
        "cohere",
        "granite",
        "phi",
        "model.norm.weight",
        "lm_head.weight",
        "lm_head.bias",
        "model.layers.0.mlp.down_proj.weight",
        "model.layers.0.mlp.down_proj.bias",
        "model.layers.0.post_feedforward_layernorm.weight",
        "model.embed_tokens.weight",
        "F32",
        "F16",
        "BF16",
        "F64",
        "I8",
    ],
    seeds: || {
        let llama = safetensors(&[
            ("model.embed_tokens.weight", "F32", &[5, 4]),
            ("model.layers.0.mlp.down_proj.weight", "F32", &[4, NEURONS]),
            ("model.norm.weight", "F32", &[4]),
            ("lm_head.weight", "F16", &[5, 4]),
        ]);
        let gemma = safetensors(&[
            ("model.embed_tokens.weight", "BF16", &[5, 4]),
            ("model.layers.0.mlp.down_proj.weight", "BF16", &[4, NEURONS]),
            ("model.layers.0.pre_feedforward_layernorm.weight", "BF16", &[4]),
            ("model.layers.0.post_feedforward_layernorm.weight", "BF16", &[4]),
            ("model.norm.weight", "BF16", &[4]),
        ]);
        let gpt2 = safetensors(&[
            ("transformer.wte.weight", "F32", &[5, 4]),
            ("transformer.h.0.mlp.c_proj.weight", "F32", &[NEURONS, 4]),
            ("transformer.h.0.mlp.c_proj.bias", "F32", &[4]),
            ("transformer.ln_f.weight", "F32", &[4]),
            ("transformer.ln_f.bias", "F32", &[4]),
        ]);
        let neox = safetensors(&[
            ("gpt_neox.embed_in.weight", "F64", &[5, 4]),
            ("gpt_neox.layers.0.mlp.dense_4h_to_h.weight", "F64", &[4, NEURONS]),
            ("gpt_neox.final_layer_norm.weight", "F64", &[4]),
            ("embed_out.weight", "F64", &[5, 4]),
        ]);
        [
            (r#"{"model_type": "llama", "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "vocab_size": 5}"#, llama),
            (
                r#"{"model_type": "gemma2", "text_config": {"model_type": "gemma2"}, "final_logit_softcapping": 30.0,
                "hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6, "vocab_size": 5, "hidden_size": 4}"#,
                gemma,
            ),
            (r#"{"model_type": "gpt2", "layer_norm_epsilon": 1e-5, "vocab_size": 5, "n_embd": 4}"#, gpt2),
            (r#"{"model_type": "gpt_neox", "layer_norm_eps": 1e-5, "vocab_size": 5}"#, neox),
        ]
        .map(|(config, weights)| vec![config.as_bytes().to_vec(), weights])
        .to_vec()
    },
    read: |folder| match Weights::open(&[folder.to_owned()]) {
        Ok(weights) => {
            for layer in [None, Some(0)] {
                if let Err(error) = look(&weights, &ReadoutOptions { layer, ..ReadoutOptions::default() }) {
                    refused_by_lens(&error);
                }
            }
        }
        Err(error) => refused(&error),
    },
};

/// Checks that what neurons promote is a list of tokens of the vocabulary, strongest first.
fn look(weights: &Weights, options: &ReadoutOptions) -> Result<(), LensError> {
    const MOST: usize = 3;
    let readout = Readout::open(weights, NEURONS, options)?;
    let features: DenseMatrix = single_neurons(&[0, NEURONS - 1], NEURONS)?;
    let readings = readout.read(&readout.directions(&features)?, MOST)?;
    assert_eq!(readings.len(), features.rows);
    for reading in readings {
        assert!(reading.mean_logit.is_finite());
        for (list, sign) in [(&reading.promoted, 1.0), (&reading.suppressed, -1.0)] {
            assert!(list.len() <= MOST && list.iter().all(|token| token.logit.is_finite()), "{list:?}");
            assert!(list.is_sorted_by(|a, b| a.logit * sign >= b.logit * sign), "{list:?}");
            assert!(list.iter().all(|token| (token.token_id as usize) < readout.tokens()), "{list:?}");
        }
    }
    Ok(())
}
