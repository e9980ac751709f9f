"""Fits in folders: what the command writes, Python reads, and the reverse."""

import json
import subprocess

import numpy as np
import pytest
import unmix


def test_a_fit_of_the_command_is_read(demo_fit):
    fit = unmix.load(demo_fit)
    assert fit.components.shape == (8, 1536) and fit.components.dtype == np.float32
    assert (fit.coefficients >= 0).all()
    assert fit.run == json.loads((demo_fit / "run.json").read_text())
    assert set(fit.columns) >= {"token_ids", "prompt_ids"}


def test_a_saved_fit_is_read_by_the_command(demo_fit, tmp_path, command):
    unmix.load(demo_fit).save(tmp_path / "copy")
    listed = subprocess.run([command, "features", tmp_path / "copy", "--json"], capture_output=True, check=True)
    assert len(json.loads(listed.stdout)["features"]) == 8


def test_a_fit_is_not_written_over_unless_asked(demo_fit, tmp_path):
    fit = unmix.load(demo_fit)
    fit.save(tmp_path / "fit")
    with pytest.raises(ValueError, match="exists"):
        fit.save(tmp_path / "fit")
    fit.save(tmp_path / "fit", force=True)


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="missing"):
        unmix.load(tmp_path / "missing")


def test_a_fit_from_memory_is_a_fit_of_the_command(activations, tmp_path, command):
    matrix = unmix.Activations(activations)[:]
    unmix.fit(matrix, n_components=4, device="cpu", max_iter=3).save(tmp_path / "fit")
    encode = [command, "encode", tmp_path / "fit", "--out", tmp_path / "out.safetensors", "--engine", "cpu", "--quiet"]
    refused = subprocess.run(encode, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "they came from memory" in refused.stderr
    np.save(tmp_path / "matrix.npy", matrix)
    subprocess.run([*encode, tmp_path / "matrix.npy"], check=True)


def test_impossible_parts_are_no_fit(demo_fit):
    fit = unmix.load(demo_fit)
    state = fit.__getstate__()
    for broken in (
        {"coefficients": -state["coefficients"]},
        {"coefficients": state["coefficients"][:-1]},
        {"run": "{}"},
    ):
        with pytest.raises(ValueError):
            unmix.Fit.__new__(unmix.Fit).__setstate__({**state, **broken})


def test_factors_cannot_be_written_to(demo_fit):
    fit = unmix.load(demo_fit)
    with pytest.raises(ValueError, match="read-only"):
        fit.components[0, 0] = 1
    components = fit.components
    del fit
    assert np.isfinite(components).all()
