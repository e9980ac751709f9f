"""What the tests and the doctests share: the demo's activations and a fit of them, and tiny language models.

Tests with the marker `models` need PyTorch, transformers, TransformerLens and nnsight, pinned in
tests/requirements-models.txt. `cargo xtask test-python --all` runs them; the quick run leaves them out. No test is
skipped because a package is missing.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

# Plots are drawn nowhere.
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "crates/cli/data/demo"
# Tiny models of every type that the logit lens knows.
sys.path.append(str(ROOT / "crates/xtask/lens"))

# The experiments need PyTorch when they are imported, so their doctests are left to the tests with models.
collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["python/unmix/experiments/*.py"]

# Modules whose doctests run a model.
WITH_MODELS = ("unmix.collecting", "unmix.collection", "unmix.models", "unmix.steering")
# Modules whose doctests read a fit of the demo.
WITH_A_FIT = tuple(
    f"unmix.{name}."
    for name in (
        "_fit_text",
        "_fit_reading",
        "_fit_output",
        "features",
        "fit",
        "lens",
        "concepts",
        "tree",
        "comparison",
        "report",
        "export",
    )
)
WORDS = 61


def pytest_collection_modifyitems(items):
    """Gives doctests that run a model the marker `models`."""
    for item in items:
        if isinstance(item, pytest.DoctestItem) and item.name.startswith(WITH_MODELS):
            item.add_marker(pytest.mark.models)


@pytest.fixture(scope="session")
def command() -> pathlib.Path:
    """The command ``unmix`` that was built with the native module."""
    target = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
    return target / "release" / ("unmix.exe" if os.name == "nt" else "unmix")


@pytest.fixture(scope="session")
def activations() -> pathlib.Path:
    """The demo's activations: 1,536 neurons of a language model, with columns of tokens."""
    return DEMO / "activations.safetensors"


@pytest.fixture(scope="session")
def demo_fit(command, activations, tmp_path_factory) -> pathlib.Path:
    """The folder of a fit with eight features by the command."""
    out = tmp_path_factory.mktemp("fits") / "demo"
    arguments = ["fit", activations, "--rank", "8", "--out", out, "--engine", "cpu", "--quiet", "--max-iterations", "5"]
    subprocess.run([command, *arguments], check=True)
    return out


@pytest.fixture(scope="session")
def token_strings() -> list[str]:
    """The text of each row of the demo's activations."""
    return json.loads((DEMO / "tokens.json").read_text())


@pytest.fixture(scope="session")
def vocabulary(demo_fit, token_strings) -> dict[str, int]:
    """The ids of the texts that the demo's activations have."""
    import unmix

    ids = unmix.load(demo_fit).columns["token_ids"].tolist()
    return dict(zip(token_strings, ids, strict=True))


@pytest.fixture(scope="session")
def labels() -> pathlib.Path:
    """What each prompt of the demo is about."""
    return DEMO / "prompts.json"


@pytest.fixture(scope="session")
def fit(demo_fit, vocabulary):
    """The fit of the demo, which knows words."""
    import unmix

    return unmix.load(demo_fit).with_tokenizer(vocabulary)


@pytest.fixture(autouse=True)
def doctest_names(request, doctest_namespace, tmp_path, monkeypatch):
    """Doctests run in a folder of their own. Those with models get a tiny one, with its tokenizer and a fit."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    import numpy
    import unmix

    monkeypatch.chdir(tmp_path)
    doctest_namespace.update(unmix=unmix, np=numpy)
    if request.node.get_closest_marker("models"):
        model = request.getfixturevalue("tiny_model")
        doctest_namespace.update(
            model=model, tokenizer=request.getfixturevalue("tiny_tokenizer"), fit=request.getfixturevalue("tiny_fit")
        )
    elif request.node.name.startswith(WITH_A_FIT):
        names = {"fit": "fit", "tokenizer": "vocabulary", "labels": "labels"}
        doctest_namespace.update({name: request.getfixturevalue(fixture) for name, fixture in names.items()})


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """A tokenizer of 64 words, three of them special: `<pad>`, `<bos>`, `<eos>`. Unknown words are `the`."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    common = ["the", "cat", "sat", "on", "mat", "a", "dog", "ran", "home"]
    words = ["<pad>", "<bos>", "<eos>", *common, *(f"word{n}" for n in range(WORDS - len(common)))]
    inner = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="the"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="the"
    )


@pytest.fixture
def tiny_model():
    """A model of Llama's type in random numbers: 2 layers, 32 neurons, a residual stream of width 16."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=16, intermediate_size=32, vocab_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=512, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        initializer_range=0.2,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def tiny_fit():
    """A fit of random activations of 32 neurons, with three features."""
    import numpy
    import unmix

    activations = numpy.random.default_rng(0).standard_normal((50, 32)).astype(numpy.float32)
    return unmix.fit(activations, n_components=3, sparsity=1.0, device="cpu", max_iter=10)


@pytest.fixture
def in_transformer_lens(tiny_model, tiny_tokenizer, tmp_path):
    """A function that gives the tiny model as TransformerLens has it: "hooked", or "bridge" in one of its modes."""
    import copy

    import transformer_lens
    from transformer_lens.model_bridge import TransformerBridge

    model, folder = tiny_model, tmp_path / "for TransformerLens"
    model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    tokenizer = type(tiny_tokenizer).from_pretrained(folder)

    def make(kind):
        if kind == "hooked":
            from transformer_lens.loading_from_pretrained import convert_llama_weights

            config = transformer_lens.HookedTransformerConfig(
                n_layers=2, d_model=16, d_mlp=32, n_heads=2, d_head=8, n_key_value_heads=2, n_ctx=64, d_vocab=64,
                act_fn="silu", gated_mlp=True, normalization_type="RMS", final_rms=True, eps=model.config.rms_norm_eps,
                positional_embedding_type="rotary", rotary_dim=8, rotary_adjacent_pairs=False, device="cpu",
                original_architecture="LlamaForCausalLM",
            )  # fmt: skip
            hooked = transformer_lens.HookedTransformer(config, tokenizer=tokenizer, default_padding_side="right")
            hooked.load_state_dict(convert_llama_weights(model, config), strict=False)
            return hooked.eval()
        bridge = TransformerBridge.boot_transformers(
            str(folder), hf_model=copy.deepcopy(model), tokenizer=tokenizer, device="cpu"
        )
        if "compatibility" in kind:
            bridge.enable_compatibility_mode()
        return bridge

    return make
