//! What is known about families of models, by the `model_type` of their configuration. `cargo xtask test-lens` checks
//! the table against transformers: it makes tiny models of each type and compares logits.

use super::NormKind;
use super::names::{GPT_2, GPT_NEOX, LFM_2, LLAMA, Layout, MPT, Names, OPT, PHI, STARCODER_2};

/// Models that do not differ in anything that the lens needs.
#[derive(Debug)]
pub(super) struct Family {
    /// Values of `model_type`. For models that also read images or sound, the type of the whole and that of the text
    /// model.
    pub model_types: &'static [&'static str],
    pub names: &'static Names,
    /// How a square down-projection lies, which its shape does not tell: one in a tensor of its own, and one in a
    /// tensor with those of all experts.
    pub layout: Layout,
    pub stack_layout: Layout,
    /// Kind of the final norm, and of the norms after the down-projection.
    pub norm: NormKind,
    pub norm_has_weights: bool,
    pub norm_has_bias: bool,
    /// Entry of the configuration with the ε of the norms, if there is such an entry, and the value if it is left out.
    pub epsilon: (Option<&'static str>, f64),
    /// Norms between the down-projection and the residual stream, the first one applied first.
    pub post_norms: &'static [PostNorm],
    /// Entry of the configuration by which a layer's output is multiplied before it is added to the residual stream.
    pub residual_multiplier: Option<&'static str>,
    pub head_bias: HeadBias,
    pub scale: Scale,
    /// Whether logits x are capped, c tanh(x / c), by the entry `final_logit_softcapping`. The inner value is c if the
    /// entry is left out.
    pub cap: Option<Option<f64>>,
    /// Whether the unembedding is the embedding if the configuration does not say.
    pub is_tied: bool,
    /// An entry of the configuration that must not be false, because then the layers would have no residual stream in
    /// common.
    pub needs: Option<&'static str>,
}

/// A norm between a down-projection and the residual stream.
#[derive(Debug)]
pub(super) struct PostNorm {
    /// Name after `PREFIX` + `layers.N.`.
    pub name: &'static str,
    /// Whether it comes after the MLP, after the experts, or after both.
    pub behind_mlp: bool,
    pub behind_experts: bool,
    /// Whether there are models without it.
    pub may_be_missing: bool,
}

/// Whether the unembedding has a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadBias {
    Never,
    Always,
    /// Only if this entry of the configuration is true.
    If(&'static str),
}

/// What logits are multiplied by: an entry of the configuration, and its value if it is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    One,
    Times(&'static str, f64),
    Over(&'static str, f64),
}

impl Family {
    /// The family with that `model_type`.
    pub(super) fn of(model_type: &str) -> Option<&'static Family> {
        FAMILIES.iter().find(|family| family.model_types.contains(&model_type))
    }

    /// Every `model_type` that is known.
    pub(super) fn model_types() -> impl Iterator<Item = &'static str> {
        FAMILIES.iter().flat_map(|family| family.model_types).copied()
    }
}

const RMS_EPSILON: Option<&str> = Some("rms_norm_eps");
const LAYER_EPSILON: Option<&str> = Some("layer_norm_eps");

const BEHIND_ALL: PostNorm = PostNorm {
    name: "post_feedforward_layernorm.weight",
    behind_mlp: true,
    behind_experts: true,
    may_be_missing: false,
};
const POST_FEEDFORWARD: &[PostNorm] = &[BEHIND_ALL];

const LIKE_LLAMA: Family = Family {
    model_types: &[
        "llama",
        "mistral",
        "mixtral",
        "ministral",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
        "deepseek_v2",
        "deepseek_v3",
        "seed_oss",
    ],
    names: &LLAMA,
    layout: Layout::OutIn,
    stack_layout: Layout::OutIn,
    norm: NormKind::Rms,
    norm_has_weights: true,
    norm_has_bias: false,
    epsilon: (RMS_EPSILON, 1e-6),
    post_norms: &[],
    residual_multiplier: None,
    head_bias: HeadBias::Never,
    scale: Scale::One,
    cap: None,
    is_tied: false,
    needs: None,
};

const LIKE_GPT_2: Family = Family {
    model_types: &["gpt2"],
    names: &GPT_2,
    layout: Layout::InOut,
    norm: NormKind::Layer,
    norm_has_bias: true,
    epsilon: (Some("layer_norm_epsilon"), 1e-5),
    is_tied: true,
    ..LIKE_LLAMA
};

const LIKE_GEMMA: Family = Family { model_types: &["gemma"], norm: NormKind::RmsPlusOne, is_tied: true, ..LIKE_LLAMA };

const LIKE_COHERE: Family = Family {
    model_types: &["cohere", "cohere2"],
    norm: NormKind::Layer,
    epsilon: (LAYER_EPSILON, 1e-5),
    scale: Scale::Times("logit_scale", 0.0625),
    is_tied: true,
    ..LIKE_LLAMA
};

static FAMILIES: [Family; 32] = [
    LIKE_LLAMA,
    Family {
        model_types: &[
            "phi3",
            "olmoe",
            "glm4_moe",
            "arcee",
            "apertus",
            "hunyuan_v1_dense",
            "ministral3",
            "qwen2_vl",
            "qwen2_vl_text",
            "qwen2_5_vl",
            "qwen2_5_vl_text",
        ],
        epsilon: (RMS_EPSILON, 1e-5),
        ..LIKE_LLAMA
    },
    Family { model_types: &["qwen3_vl", "qwen3_vl_text", "qwen3_vl_moe", "qwen3_vl_moe_text"], ..LIKE_LLAMA },
    Family {
        model_types: &["llama4", "llama4_text", "gpt_oss"],
        stack_layout: Layout::InOut,
        epsilon: (RMS_EPSILON, 1e-5),
        ..LIKE_LLAMA
    },
    Family { model_types: &["smollm3"], is_tied: true, ..LIKE_LLAMA },
    Family { model_types: &["ernie4_5"], epsilon: (RMS_EPSILON, 1e-5), is_tied: true, ..LIKE_LLAMA },
    Family { model_types: &["helium"], epsilon: (RMS_EPSILON, 1e-8), ..LIKE_LLAMA },
    Family { model_types: &["glm"], epsilon: (RMS_EPSILON, 1.5625e-7), ..LIKE_LLAMA },
    Family {
        model_types: &["glm4"],
        epsilon: (RMS_EPSILON, 1.5625e-7),
        post_norms: &[PostNorm { name: "post_mlp_layernorm.weight", ..BEHIND_ALL }],
        ..LIKE_LLAMA
    },
    Family {
        model_types: &["olmo2", "olmo3", "exaone4"],
        epsilon: (RMS_EPSILON, 1e-5),
        post_norms: POST_FEEDFORWARD,
        ..LIKE_LLAMA
    },
    Family {
        model_types: &["olmo"],
        norm: NormKind::Layer,
        norm_has_weights: false,
        epsilon: (None, 1e-5),
        ..LIKE_LLAMA
    },
    Family {
        model_types: &["granite", "granitemoe"],
        residual_multiplier: Some("residual_multiplier"),
        scale: Scale::Over("logits_scaling", 1.0),
        ..LIKE_LLAMA
    },
    Family {
        model_types: &["qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"],
        norm: NormKind::RmsPlusOne,
        ..LIKE_LLAMA
    },
    LIKE_GEMMA,
    Family { model_types: &["gemma2"], post_norms: POST_FEEDFORWARD, cap: Some(Some(30.0)), ..LIKE_GEMMA },
    Family { model_types: &["gemma3", "gemma3_text"], post_norms: POST_FEEDFORWARD, cap: Some(None), ..LIKE_GEMMA },
    Family { model_types: &["vaultgemma"], cap: Some(Some(30.0)), ..LIKE_GEMMA },
    Family {
        model_types: &["gemma3n", "gemma3n_text"],
        norm: NormKind::Rms,
        post_norms: POST_FEEDFORWARD,
        cap: Some(Some(30.0)),
        ..LIKE_GEMMA
    },
    Family {
        model_types: &["gemma4", "gemma4_text"],
        norm: NormKind::Rms,
        post_norms: &[
            PostNorm {
                name: "post_feedforward_layernorm_1.weight",
                behind_experts: false,
                may_be_missing: true,
                ..BEHIND_ALL
            },
            PostNorm { name: "post_feedforward_layernorm_2.weight", behind_mlp: false, ..BEHIND_ALL },
            BEHIND_ALL,
        ],
        cap: Some(None),
        ..LIKE_GEMMA
    },
    LIKE_COHERE,
    Family {
        model_types: &["nemotron"],
        norm: NormKind::LayerPlusOne,
        norm_has_bias: true,
        epsilon: (Some("norm_eps"), 1e-5),
        ..LIKE_LLAMA
    },
    Family {
        model_types: &["stablelm"],
        norm: NormKind::Layer,
        norm_has_bias: true,
        epsilon: (LAYER_EPSILON, 1e-5),
        ..LIKE_LLAMA
    },
    Family {
        model_types: &["phimoe"],
        norm: NormKind::Layer,
        norm_has_bias: true,
        epsilon: (RMS_EPSILON, 1e-5),
        head_bias: HeadBias::If("lm_head_bias"),
        ..LIKE_LLAMA
    },
    Family {
        model_types: &["phi"],
        names: &PHI,
        norm: NormKind::Layer,
        norm_has_bias: true,
        epsilon: (LAYER_EPSILON, 1e-5),
        head_bias: HeadBias::Always,
        ..LIKE_LLAMA
    },
    Family {
        model_types: &["starcoder2"],
        names: &STARCODER_2,
        norm: NormKind::Layer,
        norm_has_bias: true,
        epsilon: (Some("norm_epsilon"), 1e-5),
        is_tied: true,
        ..LIKE_LLAMA
    },
    Family { model_types: &["lfm2"], names: &LFM_2, epsilon: (Some("norm_eps"), 1e-5), is_tied: true, ..LIKE_LLAMA },
    Family {
        model_types: &["gpt_neox"],
        names: &GPT_NEOX,
        norm: NormKind::Layer,
        norm_has_bias: true,
        epsilon: (LAYER_EPSILON, 1e-5),
        ..LIKE_LLAMA
    },
    Family {
        model_types: &["opt"],
        names: &OPT,
        norm: NormKind::Layer,
        norm_has_bias: true,
        epsilon: (None, 1e-5),
        is_tied: true,
        needs: Some("do_layer_norm_before"),
        ..LIKE_LLAMA
    },
    LIKE_GPT_2,
    Family { model_types: &["gpt_neo", "gpt_bigcode", "falcon", "bloom"], layout: Layout::OutIn, ..LIKE_GPT_2 },
    Family {
        model_types: &["gptj", "codegen"],
        layout: Layout::OutIn,
        head_bias: HeadBias::Always,
        is_tied: false,
        ..LIKE_GPT_2
    },
    Family { model_types: &["mpt"], names: &MPT, layout: Layout::OutIn, norm_has_bias: false, ..LIKE_GPT_2 },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_type_is_of_one_family() {
        let mut all: Vec<&str> = Family::model_types().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
