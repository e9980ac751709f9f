"""The command ``unmix`` that the package installs is the program itself."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import unmix


def unmix_command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "unmix", *arguments], check=False, capture_output=True, text=True, **options
    )


def test_it_prints_what_the_program_prints(command, demo_fit):
    for arguments in (["--version"], ["fit", "--help"], ["features", demo_fit]):
        ours = unmix_command(*arguments)
        theirs = subprocess.run([command, *arguments], check=False, capture_output=True, text=True)
        assert (ours.returncode, ours.stdout, ours.stderr) == (theirs.returncode, theirs.stdout, theirs.stderr)


def test_it_fits_and_remembers_its_command_line(activations, tmp_path):
    arguments = ["fit", str(activations), "--rank", "4", "--max-iterations", "3", "--engine", "cpu", "--json"]
    done = unmix_command(*arguments, "--out", tmp_path / "fit")
    assert done.returncode == 0 and json.loads(done.stdout)["iterations"] == 3
    fit = unmix.load(tmp_path / "fit")
    assert fit.run["command_line"] == ["unmix", *arguments, "--out", str(tmp_path / "fit")]


def test_its_exit_codes_are_those_of_the_program(tmp_path):
    missing = unmix_command("inspect", tmp_path / "missing.npy")
    assert missing.returncode == 2 and missing.stderr.startswith("error: ")
    assert unmix_command("fit", "--rank", "many").returncode == 2


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_a_signal_stops_it_after_the_iteration(activations, tmp_path):
    arguments = [
        "fit",
        activations,
        "--rank",
        "8",
        "--tolerance",
        "0",
        "--max-iterations",
        "1000000",
        "--engine",
        "cpu",
    ]
    program = subprocess.Popen(
        [sys.executable, "-m", "unmix", *arguments, "--out", tmp_path / "fit", "--progress", "plain"],
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in program.stderr:
        if line.startswith("iteration"):
            break
    time.sleep(0.1)
    program.send_signal(signal.SIGINT)
    assert program.wait(60) == 130 and "saved in" in program.stderr.read()
    assert unmix.load(tmp_path / "fit").run["stop_reason"] == "interrupted"
