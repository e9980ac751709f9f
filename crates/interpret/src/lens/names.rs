//! The names that models give their tensors.

/// How a down-projection lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// [d_model, d], as torch's `Linear` has it.
    OutIn,
    /// [d, d_model], as GPT-2's `Conv1D` has it.
    InOut,
}

/// How one kind of model names its tensors. `PREFIX` is whatever comes before the layers, such as `model.`.
#[derive(Debug)]
pub(super) struct Names {
    /// The names of layer N begin with `PREFIX` + this + `.N.`.
    pub layers: &'static str,
    /// Modules of a layer whose `weight` is a down-projection. Experts that every token passes count as well.
    pub down: &'static [&'static str],
    /// What comes before and after the number of an expert.
    pub experts: &'static [(&'static str, &'static str)],
    /// Tensors of a layer that hold the down-projections of all experts, one after the other.
    pub fused: &'static [&'static str],
    /// Name after `PREFIX`.
    pub final_norm: &'static str,
    /// Whether every model with these names has a layer norm, and neither scales nor caps its logits.
    pub is_plain_layer_norm: bool,
    /// Names after `PREFIX`.
    pub embeddings: &'static [&'static str],
    /// Whether the unembedding is the embedding if nothing says so and there is no other tensor.
    pub is_tied: bool,
    /// Names after `PREFIX` or after a beginning of it.
    pub heads: &'static [&'static str],
}

/// Llama and most models since.
pub(super) static LLAMA: Names = Names {
    layers: "layers",
    down: &[
        "mlp.down_proj",
        "mlp.shared_expert.down_proj",
        "mlp.shared_experts.down_proj",
        "feed_forward.down_proj",
        "feed_forward.shared_expert.down_proj",
    ],
    experts: &[("mlp.experts.", ".down_proj.weight"), ("block_sparse_moe.experts.", ".w2.weight")],
    fused: &[
        "mlp.experts.down_proj",
        "feed_forward.experts.down_proj",
        "experts.down_proj",
        "block_sparse_moe.output_linear.weight",
        // Of a model in memory, whose files have the name above.
        "block_sparse_moe.experts.down_proj",
    ],
    final_norm: "norm.weight",
    is_plain_layer_norm: false,
    embeddings: &["embed_tokens.weight"],
    is_tied: false,
    heads: &["lm_head.weight"],
};

/// GPT-2 and similar models.
pub(super) static GPT_2: Names = Names {
    layers: "h",
    down: &["mlp.c_proj", "mlp.fc_out", "mlp.dense_4h_to_h"],
    experts: &[],
    fused: &[],
    final_norm: "ln_f.weight",
    is_plain_layer_norm: true,
    embeddings: &["wte.weight", "word_embeddings.weight"],
    is_tied: true,
    ..LLAMA
};

/// GPT-NeoX and Pythia.
pub(super) static GPT_NEOX: Names = Names {
    down: &["mlp.dense_4h_to_h"],
    experts: &[],
    fused: &[],
    final_norm: "final_layer_norm.weight",
    is_plain_layer_norm: true,
    embeddings: &["embed_in.weight"],
    heads: &["embed_out.weight", "lm_head.weight"],
    ..LLAMA
};

/// OPT.
pub(super) static OPT: Names = Names {
    down: &["fc2"],
    experts: &[],
    fused: &[],
    final_norm: "final_layer_norm.weight",
    is_plain_layer_norm: true,
    is_tied: true,
    ..LLAMA
};

/// Phi-1, 1.5 and 2.
pub(super) static PHI: Names = Names {
    down: &["mlp.fc2"],
    experts: &[],
    fused: &[],
    final_norm: "final_layernorm.weight",
    is_plain_layer_norm: true,
    ..LLAMA
};

/// StarCoder 2.
pub(super) static STARCODER_2: Names = Names { down: &["mlp.c_proj"], experts: &[], fused: &[], ..LLAMA };

/// MPT.
pub(super) static MPT: Names = Names {
    layers: "blocks",
    down: &["ffn.down_proj"],
    experts: &[],
    fused: &[],
    final_norm: "norm_f.weight",
    is_plain_layer_norm: true,
    embeddings: &["wte.weight"],
    is_tied: true,
    ..LLAMA
};

/// LFM 2.
pub(super) static LFM_2: Names =
    Names { down: &["feed_forward.w2"], experts: &[], fused: &[], final_norm: "embedding_norm.weight", ..LLAMA };

/// All names.
pub(super) static NAMES: [&Names; 8] = [&LLAMA, &GPT_2, &GPT_NEOX, &OPT, &PHI, &STARCODER_2, &MPT, &LFM_2];

/// What comes before the layers of a model that predicts tokens. Other layers belong to images, to sound, or to heads
/// that predict further tokens (`mtp.`).
pub(super) const PREFIXES: [&str; 9] = [
    "model.",
    "transformer.",
    "gpt_neox.",
    "model.decoder.",
    "model.language_model.",
    "language_model.model.",
    "model.text_model.",
    "thinker.model.",
    "",
];

/// Names in files that hold nothing but the weights for the lens.
pub(super) const DOWN_PROJECTIONS: [&str; 2] = ["down_proj", "down_proj.weight"];
pub(super) const UNEMBEDDINGS: [&str; 2] = ["unembedding", "unembedding.weight"];
pub(super) const FINAL_NORMS: [&str; 2] = ["final_norm", "final_norm.weight"];

/// The beginnings of a prefix: `a.b.`, `a.` and nothing for `a.b.`.
pub(super) fn beginnings(prefix: &str) -> impl Iterator<Item = &str> {
    let whole = (!prefix.is_empty()).then_some(prefix);
    let ends = prefix.trim_end_matches('.').rmatch_indices('.').map(|(at, _)| &prefix[..=at]);
    whole.into_iter().chain(ends).chain([""])
}
