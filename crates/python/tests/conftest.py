"""What the tests share: the demo's activations, and a fit of them by the command."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
DEMO = ROOT / "crates/cli/data/demo"


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
