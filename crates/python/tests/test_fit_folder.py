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
