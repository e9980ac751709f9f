"""`unmix.collect` writes what a hook by hand sees, whatever the batches, and goes on where it was stopped."""

import hashlib
import itertools
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np
import pytest
import unmix
from families import FAMILIES

pytestmark = pytest.mark.models

DENSE = [family for family in FAMILIES if family.parts[0].expert is None and not family.parts[0].arguments]
WORDS = ["the", "cat", "sat", "on", "mat", "a", "dog", "ran", "home", *(f"word{number}" for number in range(1, 5))]


def texts_of(lengths, seed=0):
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, length)) for length in lengths]


TEXTS = texts_of([5, 9, 1, 12, 3, 7, 7, 2])
# Of words that the smallest vocabulary has.
SHORT = [" ".join(word for word in text.split() if not word.startswith("word4")) for text in TEXTS]


def read(collection, layer):
    """All tensors of a layer, the files one after the other."""
    from safetensors.numpy import load_file

    files = [load_file(path) for path in sorted((collection.path / f"layer-{layer}").glob("*.safetensors"))]
    return {name: np.concatenate([file[name] for file in files]) for name in files[0]}


def by_hand(model, tokenizer, texts, path):
    """What a plain hook sees, text by text, without the begin-of-text token."""
    import torch

    seen = []
    hook = model.get_submodule(path).register_forward_pre_hook(
        lambda module, given: seen.append(given[0].reshape(-1, given[0].shape[-1]))
    )
    with torch.no_grad():
        for text in texts:
            model(input_ids=torch.tensor([[tokenizer.bos_token_id, *tokenizer(text).input_ids]]))
    hook.remove()
    return torch.cat([rows[1:] for rows in seen])


def hashes(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def collect(tiny_model, tiny_tokenizer, tmp_path):
    """`unmix.collect` with the tiny model, its tokenizer and a new folder, unless others are given."""
    numbers = itertools.count()

    def run(texts=TEXTS, layers=(0, 1), out=None, model=None, **options):
        out = tmp_path / f"acts-{next(numbers)}" if out is None else out
        options = {"progress": False, "max_length": 16, **options}
        return unmix.collect(model or tiny_model, tiny_tokenizer, texts, layers, out, **options)

    return run


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_batches_of_one_are_equal_to_the_bit_to_a_plain_hook(collect, tiny_model, tiny_tokenizer, dtype):
    import torch
    from safetensors.torch import load_file

    collected = collect(batch_size=1, dtype=dtype)
    for layer in (0, 1):
        expected = by_hand(tiny_model, tiny_tokenizer, TEXTS, f"model.layers.{layer}.mlp.down_proj")
        found = load_file(collected.path / f"layer-{layer}" / "00000.safetensors")["activations"]
        assert torch.equal(found, expected.to(getattr(torch, dtype)))


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("family", DENSE, ids=lambda family: family.model_type)
def test_padded_batches_agree_with_a_plain_hook_within_rounding(collect, tiny_tokenizer, family, side):
    import models  # of crates/xtask/lens
    import torch

    model = models.make(family, False, False, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.3)
    options = {"batch_size": 3, "dtype": "float32", "padding_side": side}
    collected = collect(SHORT, [1], model=model, **options)
    expected = by_hand(model, tiny_tokenizer, SHORT, f"{family.layers}.1.{family.parts[0].module}").numpy()
    np.testing.assert_allclose(read(collected, 1)["activations"], expected, atol=1e-5 * abs(expected).max())


def test_token_columns_and_texts_say_what_each_row_is(collect, tiny_tokenizer):
    collected = collect(["the cat", "", "a <eos> dog ran", "home"], shard_size=1)
    columns = read(collected, 1)
    assert tiny_tokenizer.convert_ids_to_tokens(columns["token_ids"]) == ["the", "cat", "a", "dog", "ran", "home"]
    assert columns["prompt_ids"].tolist() == [0, 0, 2, 2, 2, 3]
    assert columns["positions"].tolist() == [0, 1, 0, 1, 2, 0]
    assert {name: column.dtype for name, column in columns.items() if name != "activations"} == dict.fromkeys(
        ("token_ids", "prompt_ids", "positions"), np.int32
    )
    lines = [json.loads(line) for line in collected.prompts.open()]
    assert [(line["prompt_id"], line["text"], line["tokens"]) for line in lines] == [
        (0, "the cat", 2), (1, "", 0), (2, "a <eos> dog ran", 3), (3, "home", 1)
    ]  # fmt: skip
    vocabulary = json.loads(collected.vocabulary.read_text())
    assert vocabulary["model"]["vocab"]["cat"] == tiny_tokenizer.convert_tokens_to_ids("cat")


def test_special_tokens_are_kept_if_asked_for(collect, tiny_tokenizer):
    collected = collect(["the cat", "dog"], skip_special=False)
    columns = read(collected, 0)
    assert tiny_tokenizer.convert_ids_to_tokens(columns["token_ids"]) == ["<bos>", "the", "cat", "<bos>", "dog"]
    assert columns["positions"].tolist() == [0, 1, 2, 0, 1]
    without = read(collect(["the cat", "dog"], prepend_bos=False, skip_special=False), 0)
    assert tiny_tokenizer.convert_ids_to_tokens(without["token_ids"]) == ["the", "cat", "dog"]


def test_the_norms_of_begin_of_text_tokens_are_reported(collect):
    everything = read(collect(dtype="float32", skip_special=False), 1)
    collected = collect(dtype="float32")
    norms = np.linalg.norm(everything["activations"], axis=1)
    is_begin = everything["token_ids"] == 1
    assert collected.bos_norms[1] == pytest.approx(norms[is_begin].mean(), rel=1e-4)
    assert collected.token_norms[1] == pytest.approx(norms[~is_begin].mean(), rel=1e-4)
    assert collect(prepend_bos=False).bos_norms == {}


def test_long_texts_are_truncated_and_counted(collect, caplog):
    collected = collect(texts_of([30, 4]), max_length=11)
    assert (collected.tokens, collected.truncated, collected.texts) == (14, 1, 2)
    assert "1 of 2 texts had more than max_length tokens" in caplog.text


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([{"id": 0}, {"id": 1}], None),
        ([{"id": "a"}, {"id": "b"}], None),
        ([{}, {}], None),
        ([{"id": 0}, {"id": 7}], "text 1 has the number 7 in its record"),
        ([{"id": "1"}, {"id": "2"}], "text 0 has the number 1 in its record"),
        ([{"id": 0, "Prompt_ID": 3}, {"id": 1, "Prompt_ID": 4}], "text 0 has the number 3 in its record"),
    ],
)
def test_records_whose_numbers_are_not_those_of_the_prompts_are_told(collect, caplog, ids, expected):
    collected = collect([{"text": "the cat", **numbers} for numbers in ids])
    told = [record.getMessage() for record in caplog.records if "in its record" in record.getMessage()]
    assert len(told) == (expected is not None)
    if expected is not None:
        assert expected in told[0] and str(collected.prompts) in told[0]


def test_long_texts_are_split_into_windows_with_the_same_begin(collect, tiny_model, tiny_tokenizer):
    (text,) = texts_of([30])
    collected = collect([text, "the cat"], max_length=11, long_texts="split", dtype="float32", batch_size=2)
    columns = read(collected, 1)
    assert columns["token_ids"].tolist() == [*tiny_tokenizer(text).input_ids, *tiny_tokenizer("the cat").input_ids]
    assert columns["positions"].tolist() == [*range(30), 0, 1]
    assert columns["prompt_ids"].tolist() == [0] * 30 + [1] * 2
    words = text.split()
    windows = [" ".join(words[start : start + 10]) for start in (0, 10, 20)]
    expected = by_hand(tiny_model, tiny_tokenizer, [*windows, "the cat"], "model.layers.1.mlp.down_proj").numpy()
    np.testing.assert_allclose(columns["activations"], expected, atol=1e-6)


@pytest.mark.parametrize("site", ["mlp_out", "resid"])
def test_other_sites_are_what_their_modules_return(collect, tiny_model, tiny_tokenizer, site):
    import torch

    path = "model.layers.1.mlp" if site == "mlp_out" else "model.layers.1"
    seen = []
    hook = tiny_model.get_submodule(path).register_forward_hook(lambda module, given, out: seen.append(out[0, 1:]))
    with torch.no_grad():
        for text in TEXTS:
            tiny_model(input_ids=torch.tensor([[1, *tiny_tokenizer(text).input_ids]]))
    hook.remove()
    found = read(collect(site=site, dtype="float32", batch_size=1), 1)["activations"]
    assert np.array_equal(found, torch.cat(seen).numpy())


def test_files_are_bounded_and_read_as_one_matrix_by_the_command(collect, command):
    collected = collect(texts_of([9] * 40), shard_size=4000)
    files = sorted((collected.path / "layer-1").iterdir())
    assert len(files) > 5
    assert all(path.stat().st_size < 5000 for path in files)
    whole = read(collect(texts_of([9] * 40)), 1)
    parts = read(collected, 1)
    assert all(np.array_equal(parts[name], whole[name]) for name in ("token_ids", "prompt_ids", "positions"))
    shown = subprocess.run(
        [command, "inspect", collected.path / "layer-1", "--json"], check=True, capture_output=True, text=True
    )
    assert '"tokens": 360' in shown.stdout or '"tokens":360' in shown.stdout


def test_a_layer_of_a_collection_is_activations_for_a_fit(collect):
    collected = collect()
    assert list(collected) == collected.layers == [0, 1]
    activations = collected[1]
    assert activations.shape == (46, 32)
    assert activations.token_strings == " ".join(TEXTS).split()
    fit = unmix.fit(activations, n_components=3, device="cpu", max_iter=3)
    assert fit.coefficients.shape == (46, 3)
    assert fit.columns["prompt_ids"].tolist() == activations.columns["prompt_ids"].tolist()
    with pytest.raises(KeyError, match="layer 7 was not collected; there are 0, 1"):
        collected[7]


@pytest.mark.parametrize("source", ["list", "generator", "jsonl", "text", "datasets"])
def test_texts_come_from_lists_files_data_sets_and_iterables(collect, tmp_path, source):
    records = [{"id": 70 + number, "text": text, "concept": "animals"} for number, text in enumerate(TEXTS)]
    if source == "jsonl":
        (tmp_path / "texts.jsonl").write_text("".join(json.dumps(record) + "\n\n" for record in records))
        texts = tmp_path / "texts.jsonl"
    elif source == "text":
        (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
        texts = str(tmp_path / "texts.txt")
    elif source == "datasets":
        import datasets

        texts = datasets.Dataset.from_list(records)
    else:
        texts = TEXTS if source == "list" else (text for text in TEXTS)
    collected = collect(texts)
    expected = read(collect(TEXTS), 1)
    assert all(np.array_equal(tensor, expected[name]) for name, tensor in read(collected, 1).items())
    if source in ("jsonl", "datasets"):
        lines = [json.loads(line) for line in collected.prompts.open()]
        assert [line["concept"] for line in lines] == ["animals"] * len(TEXTS)
        assert [(line["prompt_id"], line["id"]) for line in lines] == [(n, 70 + n) for n in range(len(TEXTS))]


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (
            "nowhere.txt",
            FileNotFoundError,
            r"there is no file nowhere\.txt; give the path of a file, or texts in a list",
        ),
        ([3], TypeError, r"text 0 is of type int; expected is a string, or a dict with the key 'text'"),
        ([{"prompt": "a"}], ValueError, r"text 0 has no 'text'; it has 'prompt'; say which is the text with text_key"),
        ([{"text": None}], TypeError, r"text 0: 'text' is of type NoneType, not a string"),
        ({"train": []}, TypeError, r"texts has several parts \(train\); give one of them"),
        ([], ValueError, "there are no tokens to collect"),
        ([""], ValueError, "there are no tokens to collect"),
    ],
)
def test_texts_that_are_none_are_refused(collect, texts, error, message):
    with pytest.raises(error, match=message):
        collect(texts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": [2]}, "there is no layer 2: the model has 2 layers; give 0 to 1"),
        ({"layers": []}, "layers is empty"),
        ({"dtype": "int8"}, "dtype is 'int8'; it is one of 'float16', 'bfloat16', 'float32'"),
        ({"site": "heads"}, "unknown site 'heads'"),
        ({"batch_size": 0}, "batch_size is a whole number, at least 1; given was 0"),
        ({"long_texts": "drop"}, "long_texts is 'drop'"),
        ({"padding_side": "both"}, "padding_side is 'both'"),
        ({"max_length": 600}, "max_length is 600, but the model has positions for 512 tokens"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_written(collect, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        collect(out=tmp_path / "acts", **options)
    assert not (tmp_path / "acts").exists()


def test_values_beyond_the_range_of_float16_are_an_error_and_not_infinite(collect, tiny_model):
    import torch

    with torch.no_grad():
        tiny_model.model.layers[1].mlp.up_proj.weight.mul_(1e7)
    with pytest.raises(
        ValueError,
        match=r"layer 1, text \d \('.*'\): an activation is .*, and float16 holds numbers up to 65504; give dtype=",
    ):
        collect()
    assert np.isfinite(read(collect(dtype="float32"), 1)["activations"]).all()


def test_activations_that_are_not_finite_are_an_error_with_layer_and_text(
    collect, tiny_model, tiny_tokenizer, tmp_path
):
    import torch

    with torch.no_grad():
        tiny_model.model.embed_tokens.weight[tiny_tokenizer.convert_tokens_to_ids("word4")] = float("nan")
    with pytest.raises(ValueError, match=r"layer 0, text 1 \('the word4'\): an activation is nan"):
        collect(["the cat sat", "the word4", "dog"], out=tmp_path / "acts")
    assert not list((tmp_path / "acts").rglob("*.safetensors*"))


def test_values_of_skipped_tokens_may_be_as_large_as_they_like(collect, tiny_model):
    import torch

    expected = read(collect(dtype="float32"), 0)["activations"]
    with torch.no_grad():
        tiny_model.model.layers[0].mlp.register_forward_pre_hook(lambda module, given: (scaled_begin(given[0]),))
    assert np.allclose(read(collect(), 0)["activations"], expected, atol=1e-2)


def scaled_begin(x):
    x = x.clone()
    x[:, 0] *= 1e6
    return x


def test_the_model_is_left_as_it_was(collect, tiny_model):
    import torch

    tiny_model.train()
    tiny_model.model.layers[0].eval()
    ids = torch.tensor([[1, 4, 5]])
    before = tiny_model(ids).logits
    collect()
    with pytest.raises(TypeError):
        collect(["the cat", 3])
    assert tiny_model.training and not tiny_model.model.layers[0].training
    assert torch.equal(tiny_model(ids).logits, before)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in tiny_model.modules())


def stops_after(texts, count):
    """Texts of which the last ones cannot be read."""
    yield from texts[:count]
    raise KeyboardInterrupt


def test_a_run_that_was_interrupted_goes_on_to_the_same_files(collect, tmp_path):
    texts = texts_of([7] * 300)
    options = {"shard_size": 8000, "batch_size": 4}
    whole = collect(texts, **options)
    with pytest.raises(KeyboardInterrupt):
        collect(stops_after(texts, 200), out=tmp_path / "acts", **options)
    with pytest.raises(ValueError, match=r"is not complete; call unmix\.collect again"):
        unmix.Collection.open(tmp_path / "acts")
    (tmp_path / "acts/layer-1/00009.safetensors.part").write_bytes(b"left by a killed run")
    with (tmp_path / "acts/prompts.jsonl").open("a") as file:
        file.write("left by a killed run")
    went_on = collect(texts, out=tmp_path / "acts", **options)
    assert hashes(went_on.path) == hashes(whole.path)
    # Once more, there is nothing to do.
    before = (went_on.path / "layer-1/00000.safetensors").stat().st_mtime_ns
    assert hashes(collect(iter(texts), out=tmp_path / "acts", **options).path) == hashes(whole.path)
    assert (went_on.path / "layer-1/00000.safetensors").stat().st_mtime_ns == before


def test_a_killed_process_goes_on_to_the_same_files(tiny_model, tiny_tokenizer, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, texts = str(tmp_path / "model"), tmp_path / "texts.txt"
    tiny_model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    texts.write_text("\n".join(texts_of([7] * 400)))
    program = (
        "import sys, unmix, transformers\n"
        "model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1])\n"
        "tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "options = dict(shard_size=6000, batch_size=2, max_length=16)\n"
        "unmix.collect(model, tokenizer, sys.argv[2], [0, 1], sys.argv[3], **options)\n"
    )
    arguments = [sys.executable, "-W", "ignore", "-c", program, folder, texts, tmp_path / "killed"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "killed/layer-1/00002.safetensors").exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.001)
    finally:
        process.kill()
        process.wait()
    assert not json.loads((tmp_path / "killed/collection.json").read_text())["is_complete"]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for out in ("whole", "killed"):
        options = {"shard_size": 6000, "batch_size": 2, "max_length": 16, "progress": False}
        unmix.collect(model, tokenizer, texts, [0, 1], tmp_path / out, **options)
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")


def test_activations_of_another_model_other_texts_or_options_are_never_mixed(collect, tiny_model, tmp_path):
    import torch

    texts, options = texts_of([7] * 200), {"out": tmp_path / "acts", "shard_size": 8000}
    with pytest.raises(KeyboardInterrupt):
        collect(stops_after(texts, 150), **options)
    for other, what in (
        ({"dtype": "float32"}, "dtype is 'float16' there and 'float32' now"),
        ({"layers": [1]}, "layers is"),
    ):
        with pytest.raises(ValueError, match=what):
            collect(texts, **options, **other)
    with pytest.raises(ValueError, match="holds activations of other texts"):
        collect(["another text", *texts[1:]], **options)
    with pytest.raises(FileExistsError, match="is not empty"):
        collect(texts, **options, resume=False)
    with torch.no_grad():
        tiny_model.lm_head.weight[0, 0] += 1.0
    with pytest.raises(ValueError, match="model weights_sha256 is"):
        collect(texts, **options)


def test_a_run_that_wrote_no_file_does_not_bind_the_next_one(collect, tmp_path):
    with pytest.raises(TypeError):
        collect(["the cat", 3], out=tmp_path / "acts")
    assert collect(["the cat"], out=tmp_path / "acts", dtype="float32").tokens == 2


def test_a_complete_collection_takes_no_further_texts(collect):
    collected = collect()
    for texts in ([*TEXTS, "a dog"], TEXTS[:-1]):
        with pytest.raises(ValueError, match="holds activations of other texts"):
            collect(texts, out=collected.path)


def test_a_folder_with_other_files_is_left_alone(collect, tmp_path):
    (tmp_path / "notes.part").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty; give another folder"):
        collect(out=tmp_path)
    assert (tmp_path / "notes.part").read_text() == "mine"


def test_an_opened_collection_says_what_it_holds(collect):
    collected = collect(TEXTS, site="resid", dtype="bfloat16")
    opened = unmix.Collection.open(collected.path)
    assert repr(opened) == repr(collected)
    assert (opened.tokens, opened.texts, opened.site, opened.bos_norms) == (46, 8, "resid", collected.bos_norms)
    with pytest.raises(FileNotFoundError, match=r"is no collection: it has no collection\.json"):
        unmix.Collection.open(collected.path / "layer-1")


def test_progress_shows_tokens_a_second(collect, capsys):
    collect(progress=True)
    assert "tokens/s" in capsys.readouterr().err


def test_memory_does_not_grow_with_the_number_of_texts(collect, tiny_model):
    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    text = "the cat sat on mat a dog ran home word1"
    options = {"layers": [1], "batch_size": 64, "shard_size": 1 << 17, "keep_text": False}
    collect((text for _ in range(2_000)), **options)
    before = peak()
    collected = collect((text for _ in range(20_000)), **options)
    stored = collected.tokens * 32 * 2
    assert stored > 12e6
    assert peak() - before < stored / 4


@pytest.mark.parametrize("kind", ["hooked", "bridge", "nnsight"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_models_of_other_libraries_give_the_activations_of_transformers(
    collect, tiny_model, tiny_tokenizer, in_transformer_lens, tmp_path, kind, side
):
    import nnsight

    expected = read(collect(dtype="float32", batch_size=1), 1)
    if kind == "nnsight":
        model = nnsight.LanguageModel(tiny_model, tokenizer=tiny_tokenizer)
    else:
        model = in_transformer_lens(kind)
    out = tmp_path / "acts"
    collected = unmix.collect(
        model, None, TEXTS, 1, out, dtype="float32", batch_size=3, max_length=16, padding_side=side, progress=False
    )
    found = read(collected, 1)
    np.testing.assert_allclose(found["activations"], expected["activations"], atol=1e-5)
    assert np.array_equal(found["token_ids"], expected["token_ids"])


@pytest.fixture
def interrupted(collect, tmp_path):
    """A folder with some complete shards of 200 texts, and a function that goes on with it."""
    texts, options = texts_of([7] * 200), {"out": tmp_path / "begun", "shard_size": 8000}
    with pytest.raises(KeyboardInterrupt):
        collect(stops_after(texts, 150), **options)
    return tmp_path / "begun", lambda **others: collect(texts, **options, **others)


@pytest.mark.parametrize("is_complete", [False, True])
def test_a_change_of_any_weight_is_noticed(interrupted, tiny_model, is_complete):
    import torch

    folder, go_on = interrupted
    if is_complete:
        go_on()
    before = hashes(folder)
    with torch.no_grad():
        tiny_model.model.layers[1].mlp.up_proj.weight[10:] = 0
    with pytest.raises(ValueError, match="model weights_sha256 is"):
        go_on()
    assert hashes(folder) == before


@pytest.mark.parametrize("is_complete", [False, True])
def test_a_hook_that_was_not_there_before_is_noticed(interrupted, tiny_model, tiny_fit, is_complete):
    folder, go_on = interrupted
    if is_complete:
        go_on()
    before = hashes(folder)
    with (
        tiny_fit.steer(tiny_model, feature=0, layer=0, strength=5.0),
        pytest.raises(ValueError, match=r"those of the first text differ in layer [01].*hooks change it"),
    ):
        go_on()
    assert hashes(folder) == before
    assert go_on().texts == 200


def test_a_hook_that_is_there_no_more_is_noticed(collect, tiny_model, tiny_fit, tmp_path):
    with tiny_fit.steer(tiny_model, feature=0, layer=0, strength=5.0):
        collect(out=tmp_path / "steered")
        assert collect(out=tmp_path / "steered").tokens == 46
    with pytest.raises(ValueError, match="those of the first text differ"):
        collect(out=tmp_path / "steered")


def test_rounding_of_another_machine_is_no_other_model(interrupted):
    folder, go_on = interrupted
    content = json.loads((folder / "collection.json").read_text())
    for figures in content["probe"].values():
        for row in figures:
            row[:] = [value * 1.001 for value in row]
    (folder / "collection.json").write_text(json.dumps(content))
    assert go_on().texts == 200


def test_files_that_were_cut_damaged_or_removed_are_refused(interrupted):
    folder, go_on = interrupted
    for is_complete in (False, True):
        if is_complete:
            go_on()
        path = folder / "layer-1/00000.safetensors"
        whole = path.read_bytes()
        path.write_bytes(whole[:-100])
        with pytest.raises(ValueError, match=r"00000\.safetensors has \d+ bytes, and had \d+ when it was written"):
            go_on()
        path.write_bytes(whole[:-100] + bytes(100))
        with pytest.raises(ValueError, match=r"00000\.safetensors has other bytes than were written"):
            go_on()
        path.unlink()
        with pytest.raises(ValueError, match=r"00000\.safetensors is missing.*collect into another folder"):
            go_on()
        path.write_bytes(whole)
    (folder / "layer-0/00001.safetensors").unlink()
    with pytest.raises(ValueError, match=r"00001\.safetensors is missing"):
        unmix.Collection.open(folder)


def test_texts_that_were_cut_are_refused(interrupted):
    folder, go_on = interrupted
    prompts = folder / "prompts.jsonl"
    prompts.write_bytes(prompts.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"prompts\.jsonl has 50 bytes, and had \d+"):
        go_on()


@pytest.mark.parametrize(("suffix", "line"), [(".txt", "the cat"), (".jsonl", '{"text": "the cat"}')])
def test_the_mark_at_the_begin_of_a_utf_8_file_is_no_text(collect, tmp_path, suffix, line):
    path = (tmp_path / "texts").with_suffix(suffix)
    path.write_text(line + "\n", encoding="utf-8-sig")
    (record,) = map(json.loads, collect(path).prompts.open())
    assert record["text"] == "the cat"


def test_a_file_that_is_not_utf_8_is_refused_with_its_line(collect, tmp_path):
    (tmp_path / "latin1.txt").write_bytes("the cat\na caf\u00e9\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin1\.txt, line 2 is not UTF-8"):
        collect(tmp_path / "latin1.txt")
    (tmp_path / "texts.json").write_text('["the cat", "a dog"]')
    with pytest.raises(TypeError, match=r"texts\.json, line 1 is a list; .*give the list itself"):
        collect(tmp_path / "texts.json")


def test_half_a_character_is_refused_with_the_number_of_its_text(collect):
    for text in ("a \ud83d dog", {"text": "a \ud83d dog"}):
        with pytest.raises(ValueError, match=r"text 1 has half a character \(U\+D83D, a lone surrogate\) at index 2"):
            collect(["the cat", text])


def test_two_runs_never_write_to_one_folder(collect, tmp_path):
    def texts():
        yield "the cat"
        with pytest.raises(RuntimeError, match=r"is in use: another unmix\.collect writes to it"):
            collect(out=tmp_path / "acts")
        yield "a dog"

    collected = collect(texts(), out=tmp_path / "acts")
    assert collected.tokens == 4
    assert not (tmp_path / "acts/collection.lock").exists()


@pytest.mark.parametrize(
    ("texts", "error"),
    [(None, TypeError), ("nowhere.txt", FileNotFoundError), ([3], TypeError), ([""], ValueError), (3, TypeError)],
)
def test_texts_that_cannot_be_read_leave_no_folder(collect, tmp_path, texts, error):
    with pytest.raises(error):
        collect(texts, out=tmp_path / "acts")
    assert not (tmp_path / "acts").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(error):
        collect(texts, out=tmp_path / "empty")
    assert not list((tmp_path / "empty").iterdir())


@pytest.mark.parametrize("most", [1000, 8000])
def test_a_full_disk_is_an_error_with_a_path_and_leaves_nothing(tiny_model, tiny_tokenizer, tmp_path, most):
    # The limit is for the whole process, so it has one of its own.
    code = (
        "import resource, signal, sys, unmix\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "model, tokenizer = (kind.from_pretrained(sys.argv[1]) for kind in (AutoModelForCausalLM, AutoTokenizer))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))\n"
        "try:\n"
        "    unmix.collect(model, tokenizer, ['the cat sat on'] * 100, [0, 1], sys.argv[2], progress=False)\n"
        "except OSError as error:\n"
        "    print(error.filename)\n"
    )
    tiny_model.save_pretrained(tmp_path / "model")
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    path = os.pathsep.join(sys.path)
    ended = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model", tmp_path / "acts"],
        env={**os.environ, "PYTHONPATH": path},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.stdout.strip().startswith(str(tmp_path / "acts"))
    assert not (tmp_path / "acts").exists()


def test_a_tokenizer_that_does_not_belong_to_the_model_is_refused(tiny_model, tiny_tokenizer, tmp_path):
    tiny_model.resize_token_embeddings(6)
    texts, out = ["the cat", "the dog"], tmp_path / "acts"
    with pytest.raises(ValueError, match="text 1 has the token id 9, and the model knows ids from 0 to 5"):
        unmix.collect(tiny_model, tiny_tokenizer, texts, 0, out, progress=False)
    with pytest.raises(TypeError, match=r"tokenizer is 'gpt2'; give the tokenizer itself"):
        unmix.collect(tiny_model, "gpt2", texts, 0, out, progress=False)
    with pytest.raises(TypeError, match="tokenizer is of type dict; expected is a tokenizer of transformers"):
        unmix.collect(tiny_model, {}, texts, 0, out, progress=False)
    assert not out.exists()
