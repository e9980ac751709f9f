"""The command and Python compute the same."""

import subprocess

import numpy as np
import pytest
import unmix


def factors(fit):
    return fit.components.tobytes(), fit.coefficients.tobytes()


@pytest.mark.parametrize(
    ("flags", "arguments"),
    [
        ([], {}),
        (["--solver", "projected-ls", "--seed", "3"], {"solver": "projected-ls", "random_state": 3}),
        (["--preset", "paper", "--max-iterations", "5"], {"preset": "paper", "max_iter": 5}),
        (["--runs", "3"], {"runs": 3}),
        (["--penalty", "0.1", "--unshrink"], {"penalty": 0.1, "unshrink": True}),
        (["--sparsity", "0.05", "--penalty", "0.1", "--debias"], {"sparsity": 0.05, "penalty": 0.1, "debias": True}),
    ],
)
def test_a_fit_has_the_bits_of_the_command(command, activations, tmp_path, flags, arguments):
    out = tmp_path / "fit"
    flags = ["fit", activations, "--rank", "6", "--out", out, "--engine", "cpu", "--quiet", *flags]
    subprocess.run([command, *flags], check=True)
    theirs = unmix.load(out)
    ours = unmix.fit(activations, n_components=6, device="cpu", **arguments)
    assert factors(ours) == factors(theirs)
    for run in (ours.run, theirs.run):
        for of_this_run in (
            "command_line",
            "peak_memory_bytes",
            "seconds",
            "seconds_curve",
            "start_seconds",
        ):
            run.pop(of_this_run, None)
    assert ours.run == theirs.run


def test_a_saved_fit_is_the_folder_of_the_command(activations, command, tmp_path):
    fit = unmix.fit(activations, n_components=6, device="cpu", max_iter=5)
    fit.save(tmp_path / "python")
    flags = ["fit", activations, "--rank", "6", "--max-iterations", "5", "--engine", "cpu", "--quiet"]
    subprocess.run([command, *flags, "--out", tmp_path / "command"], check=True)
    ours, theirs = (unmix.load(tmp_path / name) for name in ("python", "command"))
    assert factors(ours) == factors(theirs)
    assert {name: column.tolist() for name, column in ours.columns.items()} == {
        name: column.tolist() for name, column in theirs.columns.items()
    }


def test_encoding_has_the_bits_of_the_command(activations, command, demo_fit, tmp_path):
    out = tmp_path / "encoded.safetensors"
    subprocess.run([command, "encode", demo_fit, activations, "--out", out, "--engine", "cpu", "--quiet"], check=True)
    content = out.read_bytes()
    coefficients = unmix.load(demo_fit).transform(activations, device="cpu")
    assert coefficients.tobytes() in content and coefficients.dtype == np.float32
