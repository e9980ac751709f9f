"""The steering experiment on a tiny language model of random weights."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import unmix
from unmix.experiments import choices, methods, steering
from unmix.experiments.dictionary import Dictionary
from unmix.experiments.store import SCORES, Store
from unmix.experiments.strength import find_strengths

pytestmark = pytest.mark.models

PLAIN = ["it", "was", "there", "again", "and", "then", "they", "went", "on", "with", "some", "more", "of", "it"]
THEMES = {
    "rain": ["rain", "storm", "cloud", "thunder", "flood", "umbrella", "drizzle", "lightning"],
    "fruit": ["apple", "pear", "plum", "cherry", "melon", "grape", "orange", "lemon"],
    "metal": ["iron", "steel", "copper", "silver", "bronze", "brass", "nickel", "zinc"],
}
SETTINGS = steering.Settings(
    targets=(0.05, 0.2), generate_at=(0.2,), n_components=4, neutral_prompts=6, prompts=4, texts=2, text_tokens=5
)
QUICK = ("diffmeans-residual", "diffmeans-neurons", "neuron")


def prompts():
    generator = np.random.default_rng(0)
    rows = [(" ".join(generator.choice(PLAIN, 9)), "neutral") for _ in range(16)]
    for concept, theme in THEMES.items():
        for _ in range(12):
            words = generator.choice(PLAIN, 9)
            words[3:9:2] = generator.choice(theme, 3)
            rows.append((" ".join(words), concept))
    return rows


@pytest.fixture(scope="module")
def corpus():
    return steering.Corpus(*map(list, zip(*prompts(), strict=True)))


@pytest.fixture(scope="module")
def tokenizer():
    import tokenizers
    import transformers

    words = ["<s>", "<unk>", *dict.fromkeys([*PLAIN, *(word for theme in THEMES.values() for word in theme)])]
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=plain, bos_token="<s>", unk_token="<unk>")


@pytest.fixture
def model(tokenizer):
    import torch
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(20)
    return model


def score(results, method, target=0.2):
    [row] = [row for row in results.rows if row["method"] == method and row["target"] == target]
    return row["score"]["mean"]


def unembeddings(model, tokenizer):
    """The mean unembedding of each concept's words, less that of all words. It raises the concept's words."""
    head = model.get_output_embeddings().weight.detach().numpy()
    rows = [head[tokenizer.convert_tokens_to_ids(THEMES[concept])].mean(0) for concept in sorted(THEMES)]
    return np.stack(rows) - head.mean(0)


def noise(count, width):
    return np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)


def of(atoms, choice):
    """A method whose directions are given."""
    return methods.Method(lambda layer, *_rest: Dictionary(layer, "residual", atoms), choice, seeded=False)


def test_a_planted_direction_steers_better_than_a_random_one(model, tokenizer, corpus, tmp_path, monkeypatch):
    strong = dataclasses.replace(SETTINGS, targets=(0.2, 3.0), generate_at=(3.0,), texts=4, text_tokens=12)
    raising = unembeddings(model, tokenizer)
    monkeypatch.setitem(methods.METHODS, "planted", of(raising, choices.labelled))
    monkeypatch.setitem(methods.METHODS, "noise", of(noise(*raising.shape), choices.labelled))
    run = steering.run(
        model,
        tokenizer,
        corpus,
        [1],
        tmp_path / "out",
        methods=["planted", "noise"],
        texts_of=["planted"],
        settings=strong,
    )
    assert score(run, "planted") > 0.2
    assert score(run, "planted") > score(run, "noise") + 0.2
    [text] = [row for row in run.texts if row["method"] == "planted"]
    [before] = [row for row in run.texts if row["method"] == "unsteered"]
    assert text["lexicon"] > before["lexicon"]


@pytest.fixture
def layer(model, tokenizer, corpus):
    from unmix.experiments.layer import Layer

    adapter = unmix.models.adapt(model, tokenizer)
    return Layer(adapter, 1, corpus, corpus.encode(tokenizer), begin=1, neutral_prompts=6, prompts=4)


def test_the_gradient_of_a_score_is_its_slope_at_no_steering(layer):
    step = 1e-2 * layer.norm
    for direction in layer.to_residual("residual", noise(5, 32)):
        own, others = layer.training["rain"].rises(step * direction)
        slope = (own.mean() - others.mean()) / step
        assert layer.training["rain"].gradient(32) @ direction == pytest.approx(slope, abs=0.02)


def test_a_choice_by_steering_raises_training_prompts_more_than_a_choice_by_detection(layer, model, tokenizer):
    dictionary = Dictionary(layer, "residual", np.concatenate([noise(20, 32), unembeddings(model, tokenizer)]))

    def rise(choice, concept):
        unit = choice(dictionary, concept, 0).residual
        [found] = find_strengths(lambda strength: layer.divergence(strength * unit), [0.2], layer.guess)
        own, others = layer.training[concept].rises(found.strength * unit)
        return own.mean() - others.mean()

    gains = [rise(choices.steers, concept) - rise(choices.detects, concept) for concept in sorted(THEMES)]
    # The divergences of the trials are less exact than these.
    assert min(gains) > -0.1
    assert max(gains) > 0.02


def test_features_come_from_fits_that_are_kept(model, tokenizer, corpus, tmp_path):
    of_fits = ["snmf-hals", "snmf-hals-several", "random"]
    run = steering.run(
        model, tokenizer, corpus, [1], tmp_path, methods=of_fits, texts_of=(), seeds=(0, 1), settings=SETTINGS
    )
    assert {(row["method"], row["seeds"]) for row in run.rows} == {(name, 2) for name in of_fits}
    fit = unmix.load(tmp_path / "fits" / "L1-neurons-hals-4-s1")
    assert fit.components.shape == (4, 48)
    for line in Store(tmp_path).lines(SCORES):
        assert 0 < len(line["features"]) <= 4
        assert set(line["features"]) <= set(range(4))


def test_autoencoders_without_their_package_are_refused_by_name(model, tokenizer, corpus, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "overcomplete.sae", None)
    with pytest.raises(ImportError, match="need the package overcomplete .*; install it, or leave out the methods sae"):
        steering.run(model, tokenizer, corpus, [1], tmp_path, methods=["sae"], texts_of=(), settings=SETTINGS)


def test_all_directions_of_a_target_have_its_divergence(model, tokenizer, corpus, tmp_path):
    steering.run(model, tokenizer, corpus, [1], tmp_path, methods=QUICK, texts_of=(), settings=SETTINGS)
    for line in Store(tmp_path).lines(SCORES):
        for step in line["steps"]:
            assert step["reached"]
            assert abs(np.log(step["kl"] / step["target"])) <= 0.08


def test_only_the_layers_behind_the_steered_one_run_again(model, tokenizer, corpus):
    import torch
    from unmix.experiments.forward import LaterLayers, adding

    ids = [corpus.encode(tokenizer)[prompt] for prompt in (0, 20, 30)]
    direction = torch.randn(32, generator=torch.Generator().manual_seed(1))
    later = LaterLayers(model, model.model.layers, 1)
    cached = later.prepare(ids, [range(1, len(row)) for row in ids])
    with torch.no_grad():
        quick = later.logits(cached, direction)
        with adding(model.model.layers[1], direction[None].expand(len(ids), -1)):
            whole = model(input_ids=cached.ids).logits[cached.rows, cached.columns]
    assert torch.allclose(quick, whole, atol=1e-4)
    assert not torch.allclose(quick, later.logits(cached), atol=1e-2)


def test_the_model_is_left_as_it_was(model, tokenizer, corpus, tmp_path):
    import torch

    ids = torch.tensor([corpus.encode(tokenizer)[0]])
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    steering.run(model, tokenizer, corpus, [1], tmp_path, methods=QUICK, texts_of=QUICK[:1], settings=SETTINGS)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not any("forward" in vars(module) for module in model.modules())
    assert model.eval()(ids).logits.shape == (1, ids.shape[1], len(tokenizer))


def test_texts_are_the_same_for_the_same_seed_and_never_special(model, tokenizer, corpus, tmp_path):
    lines = []
    for name in ("a", "b"):
        steering.run(model, tokenizer, corpus, [1], tmp_path / name, methods=QUICK, texts_of=QUICK, settings=SETTINGS)
        lines.append((tmp_path / name / "texts-L1.jsonl").read_text())
    assert lines[0] == lines[1]
    assert "<s>" not in lines[0]


def test_an_experiment_that_was_killed_goes_on_to_the_same_tables(model, tokenizer, corpus, tmp_path):
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    rows = [{"text": text, "concept": label} for text, label in zip(corpus.texts, corpus.labels, strict=True)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sizes = [
        f"--{name.replace('_', '-')}={value}"
        for name, value in dataclasses.asdict(SETTINGS).items()
        if isinstance(value, int)
    ]
    common = ["--model", tmp_path / "model", "--corpus", tmp_path / "corpus.jsonl", "--layers", "0,1", "--threads", "1"]
    common += [
        "--targets",
        "0.05,0.2",
        "--generate-at",
        "0.2",
        "--methods",
        ",".join(QUICK),
        "--texts-of",
        QUICK[0],
        *sizes,
    ]

    def command(out):
        return [sys.executable, "-m", "unmix.experiments.steering", *map(str, common), "--out", str(tmp_path / out)]

    subprocess.run(command("whole"), check=True, capture_output=True, timeout=300)
    killed = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lines = tmp_path / "killed" / "scores-L0.jsonl"
    end = time.monotonic() + 200
    while time.monotonic() < end and not (lines.exists() and lines.read_bytes().count(b"\n") > 1):
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    there = sum(path.read_bytes().count(b"\n") for path in (tmp_path / "killed").glob("*.jsonl"))
    every = sum(path.read_bytes().count(b"\n") for path in (tmp_path / "whole").glob("*.jsonl"))
    assert 1 < there < every
    subprocess.run(command("killed"), check=True, capture_output=True, timeout=300)
    for name in ("results.json", "results.md"):
        assert (tmp_path / "killed" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_a_stop_after_no_time_keeps_the_folder_for_later(model, tokenizer, corpus, tmp_path):
    run = steering.run(
        model, tokenizer, corpus, [1], tmp_path, methods=QUICK, texts_of=(), settings=SETTINGS, minutes=0
    )
    assert run.rows == []
    later = steering.run(model, tokenizer, corpus, [1], tmp_path, methods=QUICK, texts_of=(), settings=SETTINGS)
    assert {row["method"] for row in later.rows} == set(QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["snmf"]}, "there is no method snmf; the methods are snmf-hals"),
        ({"layers": [3]}, "there is no layer 3: the model has 3 layers; give 0 to 2"),
        ({"layers": []}, "no layer is given"),
        ({"seeds": ()}, "no seed is given"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(model, tokenizer, corpus, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        steering.run(model, tokenizer, corpus, **{"layers": [1], "out": tmp_path / "out"} | options)
    assert not (tmp_path / "out").exists()
