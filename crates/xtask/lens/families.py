"""Tiny models of every type that the logit lens knows, made by transformers itself."""
from dataclasses import dataclass, field

TOKENS, WIDTH, NEURONS, EXPERTS = 24, 8, 12, 3
LAYER = 1

COMMON = dict(
    hidden_size=WIDTH, intermediate_size=NEURONS, vocab_size=TOKENS, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=2, head_dim=4, max_position_embeddings=32, pad_token_id=0, bos_token_id=1, eos_token_id=2,
)
LIKE_GPT_2 = dict(
    n_embd=WIDTH, n_inner=NEURONS, vocab_size=TOKENS, n_layer=2, n_head=2, n_positions=32, bos_token_id=1, eos_token_id=2,
)
ROUTED = dict(
    num_experts=EXPERTS, num_local_experts=EXPERTS, n_routed_experts=EXPERTS, num_experts_per_tok=1,
    moe_intermediate_size=NEURONS, shared_expert_intermediate_size=NEURONS, n_group=1, topk_group=1,
)
LINEAR_ATTENTION = dict(
    linear_num_key_heads=2, linear_num_value_heads=2, linear_key_head_dim=4, linear_value_head_dim=4,
    layer_types=["linear_attention", "full_attention"],
)
LATENT_ATTENTION = dict(
    first_k_dense_replace=1, q_lora_rank=4, kv_lora_rank=4, qk_rope_head_dim=4, qk_nope_head_dim=4, v_head_dim=4,
    n_shared_experts=1,
)
PER_LAYER_INPUT = dict(vocab_size_per_layer_input=TOKENS, hidden_size_per_layer_input=4, num_kv_shared_layers=0)
# Small enough to change every logit.
CAP = dict(final_logit_softcapping=2.5)


@dataclass
class Part:
    """A down-projection of the layer: its module, how the lens is told which it is, and which norms are behind it."""

    module: str
    arguments: list = field(default_factory=list)
    expert: int | None = None
    post_norms: tuple = ()
    # Of experts: whether their forward multiplies from the other side than torch's `Linear`.
    is_transposed: bool = False


@dataclass
class Family:
    model_type: str
    config: dict
    parts: list
    layers: str = "model.layers"
    final_norm: str = "model.norm"
    # Settings of the vision tower of a model that reads images as well; `config` is then its text model's.
    vision: dict | None = None
    # Whether what the layer adds to the residual stream is the down-projection's output times a constant.
    is_linear: bool = True


DENSE = [Part("mlp.down_proj")]
EXPERT = Part("mlp.experts", ["--expert", "2"], 2)
SHARED = Part("mlp.shared_expert.down_proj", ["--down-proj", "model.layers.1.mlp.shared_expert.down_proj.weight"])
SHARED_ALL = Part("mlp.shared_experts.down_proj", ["--down-proj", "model.layers.1.mlp.shared_experts.down_proj.weight"])


def behind(*norms, part="mlp.down_proj"):
    return [Part(part, post_norms=norms)]


def like_llama(model_type, parts=DENSE, **config):
    return Family(model_type, COMMON | config, parts)


def like_gpt_2(model_type, module, **config):
    return Family(model_type, LIKE_GPT_2 | config, [Part(module)], "transformer.h", "transformer.ln_f")


def routed(model_type, *parts, **config):
    return Family(model_type, COMMON | ROUTED | config, list(parts), is_linear=False)


def seeing(model_type, parts, vision=None, text_type=None, **config):
    config = COMMON | config | ({"model_type": text_type} if text_type else {})
    return Family(model_type, config, parts, "model.language_model.layers", "model.language_model.norm", VISION | (vision or {}),
                  is_linear=parts is DENSE)


VISION = dict(
    hidden_size=WIDTH, intermediate_size=NEURONS, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=8,
    depth=1, num_heads=2, out_hidden_size=WIDTH, embed_dim=WIDTH, deepstack_visual_indexes=[0], fullatt_block_indexes=[0],
    num_position_embeddings=4, head_dim=4, global_head_dim=4, num_key_value_heads=2, position_embedding_size=16,
)
POSITIONS = dict(rope_parameters=dict(rope_type="default", mrope_section=[1, 1, 0], rope_theta=1e4))
POST = "post_feedforward_layernorm"
FAMILIES = [
    *(like_llama(name) for name in (
        "llama mistral ministral ministral3 qwen2 qwen3 smollm3 phi3 glm seed_oss arcee apertus ernie4_5 hunyuan_v1_dense "
        "helium olmo gemma nemotron stablelm").split()),
    like_llama("qwen3_5_text", **LINEAR_ATTENTION),
    like_llama("cohere", logit_scale=0.7),
    like_llama("cohere2", logit_scale=0.7),
    like_llama("granite", logits_scaling=3.0, residual_multiplier=0.3),
    like_llama("vaultgemma", **CAP),
    like_llama("gemma2", behind(POST), **CAP),
    like_llama("gemma3_text", behind(POST), **CAP),
    like_llama("olmo2", behind(POST)),
    like_llama("olmo3", behind(POST)),
    like_llama("exaone4", behind(POST)),
    like_llama("glm4", behind("post_mlp_layernorm")),
    Family("gemma3n_text", COMMON | PER_LAYER_INPUT | CAP | dict(laurel_rank=2, activation_sparsity_pattern=[0.0, 0.0]),
           behind(POST), is_linear=False),
    Family("gemma4_text", COMMON | PER_LAYER_INPUT | CAP | dict(global_head_dim=4), behind(POST), is_linear=False),
    like_llama("starcoder2", [Part("mlp.c_proj")]),
    Family("lfm2", COMMON | dict(block_auto_adjust_ff_dim=False, layer_types=["full_attention"] * 2),
           [Part("feed_forward.w2")], final_norm="model.embedding_norm"),
    Family("phi", COMMON, [Part("mlp.fc2")], final_norm="model.final_layernorm"),
    Family("gpt_neox", COMMON, [Part("mlp.dense_4h_to_h")], "gpt_neox.layers", "gpt_neox.final_layer_norm"),
    Family("opt", dict(
        hidden_size=WIDTH, ffn_dim=NEURONS, num_hidden_layers=2, vocab_size=TOKENS, num_attention_heads=2,
        max_position_embeddings=32, word_embed_proj_dim=WIDTH, pad_token_id=0), [Part("fc2")], "model.decoder.layers",
        "model.decoder.final_layer_norm"),
    like_gpt_2("gpt2", "mlp.c_proj"),
    like_gpt_2("gpt_bigcode", "mlp.c_proj"),
    like_gpt_2("gptj", "mlp.fc_out", rotary_dim=4),
    like_gpt_2("codegen", "mlp.fc_out", rotary_dim=4),
    Family("gpt_neo", dict(
        hidden_size=WIDTH, intermediate_size=NEURONS, vocab_size=TOKENS, num_layers=2, num_heads=2,
        attention_types=[[["global", "local"], 1]], max_position_embeddings=32, bos_token_id=1, eos_token_id=2),
        [Part("mlp.c_proj")], "transformer.h", "transformer.ln_f"),
    Family("falcon", dict(hidden_size=WIDTH, ffn_hidden_size=NEURONS, vocab_size=TOKENS, num_hidden_layers=2,
                          num_attention_heads=2, bos_token_id=1, eos_token_id=2),
           [Part("mlp.dense_4h_to_h")], "transformer.h", "transformer.ln_f"),
    Family("bloom", dict(hidden_size=WIDTH, n_layer=2, n_head=2, vocab_size=TOKENS), [Part("mlp.dense_4h_to_h")],
           "transformer.h", "transformer.ln_f"),
    Family("mpt", dict(d_model=WIDTH, n_layers=2, n_heads=2, vocab_size=TOKENS), [Part("ffn.down_proj")],
           "transformer.blocks", "transformer.norm_f"),
    routed("mixtral", EXPERT),
    routed("olmoe", EXPERT),
    routed("qwen3_moe", EXPERT),
    routed("phimoe", EXPERT, lm_head_bias=True),
    routed("qwen2_moe", EXPERT, SHARED),
    routed("qwen3_next", EXPERT, SHARED, **LINEAR_ATTENTION),
    routed("qwen3_5_moe_text", EXPERT, SHARED, **LINEAR_ATTENTION),
    routed("glm4_moe", EXPERT, SHARED_ALL, first_k_dense_replace=1),
    routed("deepseek_v2", EXPERT, SHARED_ALL, **LATENT_ATTENTION),
    routed("deepseek_v3", EXPERT, SHARED_ALL, **LATENT_ATTENTION),
    routed("gpt_oss", Part("mlp.experts", ["--expert", "2"], 2, is_transposed=True)),
    routed("granitemoe", Part("block_sparse_moe.experts", ["--expert", "2"], 2), logits_scaling=3.0, residual_multiplier=0.3),
    routed("llama4_text", Part("feed_forward.experts", ["--expert", "2"], 2, is_transposed=True),
           Part("feed_forward.shared_expert.down_proj",
                ["--down-proj", "model.layers.1.feed_forward.shared_expert.down_proj.weight"]),
           intermediate_size_mlp=NEURONS, interleave_moe_layer_step=2),
    # transformers caps the logits of its text model alone; published ones have no cap.
    seeing("gemma3", behind(POST), dict(model_type="siglip_vision_model"), "gemma3_text"),
    seeing("gemma4", behind(POST), **PER_LAYER_INPUT, **CAP, global_head_dim=4),
    seeing("mistral3", DENSE, dict(model_type="pixtral"), "mistral"),
    seeing("llava", DENSE, dict(model_type="clip_vision_model"), "llama"),
    seeing("qwen2_vl", DENSE, **POSITIONS),
    seeing("qwen2_5_vl", DENSE, **POSITIONS),
    seeing("qwen3_vl", DENSE, **POSITIONS),
    seeing("qwen3_vl_moe", [EXPERT], **ROUTED, **POSITIONS),
    seeing("qwen3_5", DENSE, **LINEAR_ATTENTION),
    seeing("qwen3_5_moe", [EXPERT], **ROUTED, **LINEAR_ATTENTION),
]
