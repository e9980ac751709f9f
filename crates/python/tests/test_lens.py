"""The logit lens: weights from arrays, files and models in memory."""

import json
import subprocess
import warnings

import numpy as np
import pytest
import unmix

WIDTH, TOKENS = 24, 60


@pytest.fixture(scope="module")
def fit(demo_fit):
    """The fit of the demo, without a tokenizer, because the weights are of another vocabulary."""
    return unmix.load(demo_fit)


@pytest.fixture(scope="module")
def weights():
    """A down-projection [width, neurons], an unembedding [tokens, width] and a norm [width]."""
    random = np.random.default_rng(0)
    shapes = {"down_projection": (WIDTH, 1536), "unembedding": (TOKENS, WIDTH), "final_norm": (WIDTH,)}
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def expected(fit, weights, number, top):
    """The ids of the tokens that a feature promotes, by the formula."""
    written = weights["down_projection"].astype(float) @ fit.components[number]
    normed = written / np.sqrt((written**2).mean() + 1e-5) * weights["final_norm"]
    logits = weights["unembedding"] @ normed
    logits -= logits.mean()
    order = np.argsort(-logits)[:top]
    return order.tolist(), logits[order]


def ids(table, number):
    frame = table.to_pandas()
    return frame[(frame["feature"] == number) & (frame["direction"] == "promoted")]["token_id"].tolist()


def test_features_promote_what_the_formula_says(fit, weights):
    table = fit.lens(**weights, norm="rms", top=5)
    assert len(table) == 8
    for number in range(8):
        tokens, logits = expected(fit, weights, number, 5)
        assert ids(table, number) == tokens
        assert [logit for _, logit in table.promoted(number)] == pytest.approx(logits.tolist(), rel=1e-3)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_weights_of_any_floating_type_are_taken(fit, weights, dtype):
    of_type = {name: array.astype(dtype) for name, array in weights.items()}
    table = fit.lens(**of_type, norm="rms", top=1, features=[1])
    assert ids(table, 1) == expected(fit, of_type, 1, 1)[0]


def test_a_transposed_down_projection_is_known_by_its_shape(fit, weights):
    turned = {**weights, "down_projection": weights["down_projection"].T}
    assert fit.lens(**turned, norm="rms").to_dict()["features"] == fit.lens(**weights, norm="rms").to_dict()["features"]


def test_files_of_weights_are_read_as_the_command_reads_them(weights, demo_fit, command, tmp_path):
    save(tmp_path / "weights.safetensors", {names[name]: array for name, array in weights.items()})
    arguments = ["lens", demo_fit, "--model", tmp_path / "weights.safetensors", "--norm", "rms", "--json"]
    told = json.loads(subprocess.run([command, *arguments], capture_output=True, check=True).stdout)
    mine = unmix.load(demo_fit).lens(tmp_path / "weights.safetensors", norm="rms").to_dict()
    for own, theirs in zip(mine["features"], told["features"], strict=True):
        assert own["promoted"] == theirs["promoted"] and own["suppressed"] == theirs["suppressed"]


def test_tokens_have_words_if_a_tokenizer_is_known(demo_fit, weights):
    words = [f" w{id}" for id in range(TOKENS)]
    fit = unmix.load(demo_fit)
    table = lens_without_text(fit, weights, words)
    assert all(text.startswith(" w") for text, _ in table.promoted(0))
    assert "·w" in repr(table) and "·w" in table._repr_html_()
    assert "a tokenizer shows words" in repr(fit.lens(**weights, norm="rms"))
    with pytest.raises(ValueError, match="vocabulary of the same model"):
        unmix.load(demo_fit).lens(**weights, norm="rms", tokenizer=[str(id) for id in range(49152)])


def lens_without_text(fit, weights, words):
    """The lens with a vocabulary of the unembedding, of a fit whose own token ids are not known."""
    from unmix import _unmix
    from unmix._weights import weights_of
    from unmix.lens import lens

    columns = {name: column for name, column in fit.columns.items() if name != "token_ids"}
    native = _unmix.Fit.from_parts(fit.components, fit.coefficients, columns, json.dumps(fit.run))
    return lens(unmix.Fit(native, tokenizer=words)._text, weights_of(**weights, norm="rms"), None, [], 3)


def test_single_neurons_can_be_read_beside_features(fit, weights):
    table = fit.lens(**weights, norm="rms", features=[2, 0], neurons=[7], top=2)
    assert [entry["feature"] for entry in table.to_dict()["features"]] == [2, 0]
    assert table.to_dict()["neurons"][0]["neuron"] == 7 and "neuron 7" in repr(table)
    with pytest.raises(ValueError, match="neurons 0 to 1535"):
        fit.lens(**weights, norm="rms", neurons=[1536])


def test_a_table_of_the_lens_is_a_sequence_of_its_entries(fit, weights):
    table = fit.lens(**weights, norm="rms", features=[2, 0], neurons=[7], top=2)
    assert [entry.get("feature", entry.get("neuron")) for entry in table] == [2, 0, 7]
    assert len(table) == 3 and table[-1]["neuron"] == 7
    assert table[0] == table.to_dict()["features"][0]
    with pytest.raises(IndexError):
        table[3]


def test_another_layer_than_that_of_the_activations_is_told(weights, tmp_path):
    save(
        tmp_path / "acts.safetensors",
        {"activations": np.random.default_rng(0).normal(size=(50, 1536)).astype("f4")},
        layer=1,
    )
    fit = unmix.fit(tmp_path / "acts.safetensors", n_components=2, max_iter=2, device="cpu")
    with pytest.warns(UserWarning, match="activations of layer 1, but layer=0 was given") as warned:
        fit.lens(**weights, norm="rms", layer=0)
    assert warned[0].filename == __file__
    with pytest.warns(UserWarning, match="activations of layer 1, but layer=0 was given"):
        fit.report(tmp_path / "report.html", layer=0, norm="rms", ranks=[1], **weights)
    # The fit knows it without the file.
    (tmp_path / "acts.safetensors").unlink()
    with pytest.warns(UserWarning, match="activations of layer 1, but layer=0 was given"):
        fit.lens(**weights, norm="rms", layer=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit.lens(**weights, norm="rms", layer=1)


def test_the_layer_that_the_activations_name_is_read(weights, tmp_path):
    random = np.random.default_rng(0)
    save(tmp_path / "acts.safetensors", {"activations": random.normal(size=(50, 1536)).astype("f4")}, layer=1)
    fit = unmix.fit(tmp_path / "acts.safetensors", n_components=2, max_iter=2, device="cpu")
    name = "model.layers.{}.mlp.down_proj.weight".format
    down = {name(layer): random.normal(size=(WIDTH, 1536)).astype("f4") for layer in (0, 1)}
    head = {part: weights[part] for part in ("unembedding", "final_norm")}
    save(tmp_path / "model.safetensors", {**down, **head})
    norm = {"norm": "rms", "epsilon": 1e-5}
    alone = fit.lens(down_projection=down[name(1)], **head, **norm)
    assert ids(fit.lens(tmp_path / "model.safetensors", **norm), 0) == ids(alone, 0)
    other = fit.lens(tmp_path / "model.safetensors", down_projection=name(0), **norm)
    assert ids(other, 0) != ids(alone, 0)


@pytest.mark.parametrize("site", ["resid", "mlp_out"])
def test_activations_of_another_site_have_no_lens(weights, tmp_path, site):
    random = np.random.default_rng(0)
    path = tmp_path / "acts.safetensors"
    save(path, {"activations": random.normal(size=(50, 1536)).astype("f4")}, layer=1, site=site)
    fit = unmix.fit(path, n_components=2, max_iter=2, device="cpu")
    with pytest.raises(ValueError, match=f"at '{site}'"):
        fit.lens(**weights, norm="rms")
    with pytest.raises(ValueError, match="saelens: .* name the hook"):
        fit.export("saelens", tmp_path / "sae")
    fit.export("saelens", tmp_path / "sae", hook="blocks.1.hook_resid_post", architecture="matching-pursuit")
    fit.report(tmp_path / "report.html", ranks=[1])


def test_mistakes_with_weights_are_told(fit, weights):
    with pytest.raises(ValueError, match="model is needed"):
        fit.lens()
    with pytest.raises(ValueError, match="a side of 1536"):
        fit.lens(**{**weights, "down_projection": np.ones((WIDTH, 9), np.float32)}, norm="rms")
    with pytest.raises(ValueError, match="norm="):
        fit.lens(**weights)
    with pytest.raises(ValueError, match="rms-plus-one"):
        fit.lens(**weights, norm="batch")
    with pytest.raises(OSError, match="nowhere"):
        fit.lens("nowhere.safetensors")
    with pytest.raises(IndexError, match="features 0 to 7"):
        fit.lens(**weights, norm="rms", features=[8])


names = {"down_projection": "down_proj", "unembedding": "unembedding", "final_norm": "final_norm"}


def save(path, tensors, **metadata):
    """Writes a safetensors file, whose format is a length, a header and the numbers."""
    header, start = {}, 0
    if metadata:
        header["__metadata__"] = {name: str(value) for name, value in metadata.items()}
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [start, start + array.nbytes]}
        start += array.nbytes
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(a.tobytes() for a in tensors.values()))


@pytest.mark.models
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_in_memory_gives_what_its_files_give(tiny_model, tiny_tokenizer, tmp_path, dtype):
    import torch

    model = tiny_model.to(getattr(torch, dtype))
    model.save_pretrained(tmp_path / "model")
    fit = small_fit()
    from_memory = fit.lens(model, layer=1, tokenizer=tiny_tokenizer).to_dict()
    from_files = fit.lens(tmp_path / "model", layer=1, tokenizer=tiny_tokenizer).to_dict()
    assert from_memory["features"] == from_files["features"]
    assert from_memory["tensors"]["model_type"] == "llama" and from_memory["tokens"] == 64
    with pytest.raises(ValueError, match="layer="):
        fit.lens(model)
    with pytest.raises(ValueError, match="no layer 2"):
        fit.lens(model, layer=2)


@pytest.mark.models
@pytest.mark.parametrize("kind", ["hooked", "bridge"])
def test_models_of_transformer_lens_give_the_same(tiny_model, in_transformer_lens, kind):
    fit = small_fit()
    wanted, found = fit.lens(tiny_model, layer=1), fit.lens(in_transformer_lens(kind), layer=1)
    for number in range(fit.n_components):
        wanted_ids, found_ids = ids(wanted, number), ids(found, number)
        assert found_ids == wanted_ids
        logits = [logit for _, logit in wanted.promoted(number)]
        assert [logit for _, logit in found.promoted(number)] == pytest.approx(logits, rel=1e-3)


def small_fit():
    """A fit of 32 neurons."""
    X = np.random.default_rng(0).standard_normal((200, 32)).astype(np.float32)
    acts = unmix.Activations(X, token_ids=np.arange(200) % 64)
    return unmix.fit(acts, n_components=4, device="cpu", random_state=0)
