"""What the tests and the doctests share: the demo's activations, a fit of them by the command, its tokenizer and labels."""

import json
import os
import pathlib
import subprocess

import pytest

# Plots are drawn nowhere.
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "crates/cli/data/demo"

# Modules whose doctests read a fit.
WITH_A_FIT = ("unmix._analysis", "unmix.features", "unmix.fit.")


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
    """Doctests run in a folder of their own."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    import numpy
    import unmix

    monkeypatch.chdir(tmp_path)
    doctest_namespace.update(unmix=unmix, np=numpy)
    if request.node.name.startswith(WITH_A_FIT):
        names = {"fit": "fit", "tokenizer": "vocabulary", "labels": "labels"}
        doctest_namespace.update({name: request.getfixturevalue(fixture) for name, fixture in names.items()})
