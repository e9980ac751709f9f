"""Reports and exports."""

import json
import subprocess

import numpy as np
import pytest
import unmix


def test_a_report_is_the_page_of_the_command(fit, command, demo_fit, labels, vocabulary, tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    arguments = ["report", demo_fit, "--out", tmp_path / "theirs.html", "--labels", labels, "--engine", "cpu", "-q"]
    options = ["--permutations", "19", "--ranks", "4", "--vocabulary", tmp_path / "vocab.json"]
    subprocess.run([command, *arguments, *options], check=True, capture_output=True)
    report = fit.report(tmp_path / "mine.html", labels=labels, permutations=19, ranks=[4])
    assert report.path == tmp_path / "mine.html"
    assert report.path.read_bytes() == (tmp_path / "theirs.html").read_bytes()
    assert "8 features" in repr(report) and "mine.html" in report._repr_html_()


def test_a_report_has_another_fit_beside_it(fit, activations, tmp_path):
    other = unmix.fit(activations, n_components=8, max_iter=2, random_state=1, device="cpu")
    report = fit.report(tmp_path / "report.html", beside=other, ranks=[4])
    assert report.to_dict()["beside"]["matched_by"] == "cosine"
    apart = unmix.fit(np.ones((6, 5), np.float32), n_components=1, max_iter=1, device="cpu")
    with pytest.raises(ValueError, match="beside"):
        fit.report(tmp_path / "other.html", beside=apart)
    assert not (tmp_path / "other.html").exists()


def test_a_report_is_not_written_over_unless_asked(fit, tmp_path):
    written = fit.report(tmp_path / "report.html", ranks=[2]).path.read_bytes()
    with pytest.raises(ValueError, match="exists"):
        fit.report(tmp_path / "report.html")
    assert fit.report(tmp_path / "report.html", ranks=[2], force=True).path.read_bytes() == written


def test_a_page_never_replaces_a_file_that_is_none(fit, tmp_path):
    fit.save(tmp_path / "fit")
    run = tmp_path / "fit/run.json"
    before = run.read_bytes()
    with pytest.raises(ValueError, match=r"run\.json: will not be replaced, .* not a page that unmix wrote"):
        fit.report(run, force=True)
    with pytest.raises(ValueError, match="not a page that unmix wrote"):
        fit.compare(fit, page=run, force=True)
    assert run.read_bytes() == before
    (tmp_path / "empty.html").touch()
    assert fit.report(tmp_path / "empty.html", ranks=[2], force=True).path.stat().st_size > 1000


def test_a_report_shows_what_features_promote(demo_fit, tmp_path):
    random = np.random.default_rng(0)
    weights = {"down_projection": random.normal(size=(8, 1536)), "unembedding": random.normal(size=(50, 8))}
    report = unmix.load(demo_fit).report(tmp_path / "report.html", ranks=[2], norm="rms", **weights)
    assert report.to_dict()["lens"] is True and "beyond chance for" in repr(report)
    with pytest.raises(TypeError, match="nrom"):
        unmix.load(demo_fit).report(tmp_path / "other.html", nrom="rms", **weights)


def test_options_that_a_report_has_no_use_for_are_refused(fit, tmp_path):
    with pytest.raises(ValueError, match="model="):
        fit.report(tmp_path / "report.html", layer=3)
    with pytest.raises(ValueError, match="labels="):
        fit.report(tmp_path / "report.html", activations="x.npy")


def of_layer(path, layer):
    """A file of activations that says which layer they are of."""
    x = np.random.default_rng(layer).standard_normal((40, 16)).astype(np.float32)
    prompts = np.arange(40, dtype=np.int32) // 4
    end = x.nbytes + prompts.nbytes
    header = {
        "__metadata__": {"model": "someone/model", "layer": str(layer)},
        "x": {"dtype": "F32", "shape": [40, 16], "data_offsets": [0, x.nbytes]},
        "prompt_ids": {"dtype": "I32", "shape": [40], "data_offsets": [x.nbytes, end]},
    }
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + x.tobytes() + prompts.tobytes())
    return path


def test_files_of_different_layers_are_warned_of(tmp_path, caplog):
    fourth, eighth = (of_layer(tmp_path / f"{layer}.safetensors", layer) for layer in (4, 8))
    fit = unmix.fit([fourth, eighth], n_components=2, max_iter=2, device="cpu")
    assert 'the layer is "4" in' in caplog.text and '"8" in' in caplog.text
    fit = unmix.fit(fourth, n_components=2, max_iter=2, device="cpu")
    caplog.clear()
    fit.transform(eighth)
    assert "of activations of layer 4, but" in caplog.text
    concepts = ["days", "months"] * 5
    for activations, warns in [(eighth, True), (fourth, False), (None, False)]:
        caplog.clear()
        fit.concepts(concepts, activations, permutations=0)
        assert ("of activations of layer 4, but" in caplog.text) == warns, activations
    exported = fit.export("saedashboard", tmp_path / "vectors")
    assert exported.to_dict()["model"] == "someone/model"


@pytest.mark.parametrize("tool", ["saelens", "sparsify", "delphi", "saedashboard", "neuronpedia", "steering"])
def test_an_export_is_that_of_the_command(fit, command, demo_fit, vocabulary, tmp_path, tool):
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    options = {"layer": 3, "model_name": "small"}
    arguments = ["--layer", "3", "--model-name", "small"]
    if tool == "neuronpedia":
        arguments += ["--vocabulary", tmp_path / "vocab.json"]
    if tool == "steering":
        weights = down_projection(tmp_path / "model.safetensors")
        options["model"] = weights
        arguments += ["--model", weights]
    command_line = [command, "export", demo_fit, "--to", tool, "--out", tmp_path / "theirs", *arguments]
    subprocess.run(command_line, check=True, capture_output=True)
    export = fit.export(tool, tmp_path / "mine", **options)
    theirs = sorted(
        path.relative_to(tmp_path / "theirs") for path in (tmp_path / "theirs").rglob("*") if path.is_file()
    )
    assert sorted(path.relative_to(tmp_path / "mine") for path in export.files) == theirs
    for name in theirs:
        assert (tmp_path / "mine" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes(), name
    assert str(tmp_path / "mine") in export.usage and export.usage.splitlines()[0] in repr(export)
    assert tool in export._repr_html_()


def test_options_that_a_tool_has_no_use_for_are_refused(fit, tmp_path):
    with pytest.raises(ValueError, match="splits: of use for delphi"):
        fit.export("saelens", tmp_path / "sae", splits=3)
    with pytest.raises(ValueError, match="saelens, sparsify"):
        fit.export("sae", tmp_path / "sae")
    with pytest.raises(ValueError, match="matching-pursuit"):
        fit.export("saelens", tmp_path / "sae", architecture="topk")
    with pytest.raises(ValueError, match="model_name="):
        fit.export("neuronpedia", tmp_path / "sae")
    with pytest.raises(ValueError, match="with_tokenizer"):
        fit_without_words(fit).export("neuronpedia", tmp_path / "sae", layer=3, model_name="small")
    assert not (tmp_path / "sae").exists()


def fit_without_words(fit):
    return unmix.Fit(fit._native)


def test_an_export_without_activations_says_what_it_loses(activations, tmp_path):
    acts = unmix.Activations(activations)
    values = acts[:]
    fit = unmix.fit(values, n_components=4, max_iter=2, device="cpu")
    with pytest.warns(UserWarning, match="activations="):
        assert fit.export("saelens", tmp_path / "without").to_dict()["encoder"]["fitted"] is False
    export = fit.export("saelens", tmp_path / "with", activations=values)
    assert export.to_dict()["encoder"]["fitted"] is True and "Relative error" in repr(export)
    with pytest.raises(ValueError, match="fingerprint"):
        fit.export("saelens", tmp_path / "other", activations=values[:100])


def down_projection(path):
    """A file with the down-projection of layer 3 of some model."""
    array = np.random.default_rng(0).standard_normal((16, 1536)).astype(np.float32)
    name = "model.layers.3.mlp.down_proj.weight"
    header = {name: {"dtype": "F32", "shape": [16, 1536], "data_offsets": [0, array.nbytes]}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + array.tobytes())
    return path


@pytest.mark.parametrize(
    ("write", "error", "message"),
    [
        (lambda fit: fit.report("r.html", contexts=-1), ValueError, "contexts=-1: a whole number"),
        (lambda fit: fit.report(3), TypeError, "path=3: a path is needed"),
        (lambda fit: fit.tree(ranks=[-1]), ValueError, "ranks.0.=-1: a whole number"),
        (lambda fit: fit.export("saelens", "s", layer=-1), ValueError, "layer=-1: a whole number"),
        (lambda fit: fit.export("saelens", None), TypeError, "path=None: a path is needed"),
        (lambda fit: fit.export("neuronpedia", "s", layer=12), ValueError, "neuronpedia: .* name and the layer"),
        (lambda fit: fit.export(None, "s"), TypeError, "tool=None: a name is needed"),
        (
            lambda fit: fit.export("neuronpedia", "s"),
            ValueError,
            "call the model .*; the format needs the model's name and the layer; give model_name=$",
        ),
    ],
)
def test_impossible_arguments_are_refused_by_their_names(fit, tmp_path, monkeypatch, write, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        write(fit)
    assert not list(tmp_path.iterdir())
