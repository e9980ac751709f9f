"""Fits that are saved in a folder, are stopped, and go on there."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import unmix

# A fit that is still at work long after its first checkpoint, and that can be computed to its end.
OPTIONS = {"n_components": 7, "sparsity": 0.2, "device": "cpu"}
LONG = {**OPTIONS, "tol": 0.0, "max_iter": 500}
RUNS = {**OPTIONS, "runs": 25, "max_iter": 20}
OFTEN = "1ms"
# What a program makes of the path of the activations.
INPUTS = {
    "path": "path",
    "array": "numpy.load(path)",
    "tokens of small norm": "unmix.Activations(path, max_norm='1.01x')",
}


@pytest.fixture(scope="module")
def X():
    values = (np.arange(3000 * 50) * 7919) % 1009
    return (values / 1009 - 0.4).astype(np.float32).reshape(3000, 50)


@pytest.fixture
def path(X, tmp_path):
    np.save(tmp_path / "x.npy", X)
    return tmp_path / "x.npy"


def factors(fit):
    return fit.components.tobytes(), fit.coefficients.tobytes()


def names(folder):
    return sorted(entry.name for entry in folder.iterdir() if entry.name != "x.npy")


def has_checkpoint(out):
    return any(out.with_name(f"{out.name}.partial").glob("checkpoint-*"))


def killed(path, out, options, how="path"):
    """Starts a fit in a process of its own, and kills it after its first checkpoint."""
    program = f"""
import numpy, sys, unmix
path, out = sys.argv[1:]
unmix.fit({INPUTS[how]}, out=out, checkpoint_every="{OFTEN}", **{options!r})
"""
    kill_after_checkpoint([sys.executable, "-c", program, path, out], out)


def kill_after_checkpoint(command_line, out):
    """Starts a process, and kills it after the first checkpoint of the fit `out`."""
    process = subprocess.Popen(command_line, stderr=subprocess.PIPE)
    patience = time.monotonic() + 60
    while not has_checkpoint(out):
        assert process.poll() is None and time.monotonic() < patience, process.stderr.read()
        time.sleep(0.002)
    process.kill()
    process.wait()
    process.stderr.close()
    assert has_checkpoint(out), "the fit was complete before it was killed"


def stop_at(iteration, error):
    """A callback that stops a fit."""

    def callback(progress):
        if progress["iteration"] == iteration:
            raise error

    return callback


@pytest.mark.parametrize("how", ["array", "path", "streamed array", "streamed path"])
def test_a_fit_that_is_killed_goes_on_to_the_same_bits(X, path, tmp_path, how):
    out = tmp_path / "out"
    whole = unmix.fit(X, **LONG)
    killed(path, out, {**LONG, "stream": how.startswith("streamed")}, how.split()[-1])
    stages = set()
    fit = unmix.fit(X if "array" in how else path, out=out, progress=lambda told: stages.add(told["stage"]), **LONG)
    assert factors(fit) == factors(whole) == factors(unmix.load(out))
    assert "start" not in stages, "it began anew"
    assert names(tmp_path) == ["out"]


def test_several_runs_that_are_killed_go_on_to_the_same_bits(X, path, tmp_path):
    out = tmp_path / "out"
    # The runs are far from their end when the first checkpoint is there.
    long = {**RUNS, "max_iter": 300}
    killed(path, out, long, "array")
    fit = unmix.fit(X, out=out, **long)
    assert factors(fit) == factors(unmix.fit(X, **long))
    assert names(tmp_path) == ["out"]


def test_a_fit_that_is_not_interrupted_leaves_what_the_command_leaves(command, path, tmp_path):
    ours = unmix.fit(path, out=tmp_path / "python", checkpoint_every=OFTEN, **OPTIONS)
    flags = ["fit", path, "--rank", "7", "--sparsity", "0.2", "--engine", "cpu", "-q", "--out", tmp_path / "command"]
    subprocess.run([command, *flags], check=True)
    assert names(tmp_path) == ["command", "python"]
    assert names(tmp_path / "python") == names(tmp_path / "command")
    assert factors(ours) == factors(unmix.load(tmp_path / "command"))


def test_ctrl_c_saves_the_best_and_leaves_a_checkpoint_from_which_the_same_call_goes_on(X, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(unmix.FitInterrupted, match="out") as interrupted:
        unmix.fit(
            X, out=out, progress=lambda told: told["iteration"] == 20 and signal.raise_signal(signal.SIGINT), **LONG
        )
    saved = unmix.load(out)
    assert saved.run["stop_reason"] == "interrupted" and factors(saved) == factors(interrupted.value.fit)
    assert has_checkpoint(out)
    assert factors(unmix.fit(X, out=out, **LONG)) == factors(unmix.fit(X, **LONG))
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [RuntimeError("stop"), SystemExit(1), StopIteration()])
def test_whatever_stops_a_fit_leaves_a_checkpoint(X, tmp_path, error):
    out = tmp_path / "out"
    if isinstance(error, StopIteration):
        unmix.fit(X, out=out, progress=stop_at(20, error), **LONG)
    else:
        with pytest.raises(type(error)):
            unmix.fit(X, out=out, progress=stop_at(20, error), **LONG)
    assert has_checkpoint(out)
    assert factors(unmix.fit(X, out=out, **LONG)) == factors(unmix.fit(X, **LONG))


def test_a_signal_that_ends_python_leaves_a_checkpoint(X, tmp_path):
    out = tmp_path / "out"
    earlier = signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with pytest.raises(SystemExit):
            unmix.fit(
                X,
                out=out,
                progress=lambda told: told["iteration"] == 20 and signal.raise_signal(signal.SIGTERM),
                **LONG,
            )
    finally:
        signal.signal(signal.SIGTERM, earlier)
    assert has_checkpoint(out) and unmix.load(out).run["stop_reason"] == "interrupted"


def test_runs_that_are_interrupted_go_on(X, tmp_path):
    out = tmp_path / "out"

    def stop(told):
        if told["stage"] == "runs" and told["runs"][0] > 10:
            raise StopIteration

    assert unmix.fit(X, out=out, progress=stop, **RUNS).run["consensus"]["runs"] < 25
    assert has_checkpoint(out)
    assert factors(unmix.fit(X, out=out, **RUNS)) == factors(unmix.fit(X, **RUNS))
    assert names(tmp_path) == ["out"]


def test_an_interrupted_fit_without_a_checkpoint_begins_anew(X, tmp_path):
    out = tmp_path / "out"
    unmix.fit(X, out=out, checkpoint_every=0, progress=stop_at(20, StopIteration()), **LONG)
    assert names(tmp_path) == ["out"]
    with pytest.raises(ValueError, match="n_components=7 is there.*n_components=6"):
        unmix.fit(X, out=out, **{**LONG, "n_components": 6})
    assert factors(unmix.fit(X, out=out, **LONG)) == factors(unmix.fit(X, **LONG))


@pytest.mark.parametrize("how", ["path", "tokens of small norm"])
def test_the_command_goes_on_with_a_fit_of_files_that_began_in_python(command, path, tmp_path, monkeypatch, how):
    whole = unmix.fit(eval(INPUTS[how], {"unmix": unmix, "path": path}), **LONG)
    out = tmp_path / "out"
    with monkeypatch.context() as context:
        # The path is relative to the folder in which the fit begins.
        context.chdir(tmp_path)
        killed("x.npy", out, LONG, how)
    subprocess.run([command, "fit", "--resume", out, "-q"], check=True, capture_output=True)
    resumed = unmix.load(out)
    assert factors(resumed) == factors(whole) and "command_line" not in resumed.run
    assert names(tmp_path) == ["out"]


def test_the_command_says_that_it_cannot_go_on_with_activations_in_memory(command, X, path, tmp_path):
    out = tmp_path / "out"
    killed(path, out, LONG, "array")
    done = subprocess.run([command, "fit", "--resume", out], check=False, capture_output=True, text=True)
    assert done.returncode == 2 and "unmix.fit" in done.stderr and "memory" in done.stderr
    assert factors(unmix.fit(X, out=out, **LONG)) == factors(unmix.fit(X, **LONG))


@pytest.mark.parametrize("options", [LONG, {**RUNS, "max_iter": 300}])
def test_python_goes_on_with_a_fit_that_the_command_began(command, X, path, tmp_path, options):
    out = tmp_path / "out"
    flags = ["--rank", "7", "--sparsity", "0.2", "--engine", "cpu", "--checkpoint-every", OFTEN, "-q"]
    flags += ["--max-iterations", str(options["max_iter"])]
    flags += ["--runs", "25"] if "runs" in options else ["--tolerance", "0"]
    kill_after_checkpoint([command, "fit", path, "--out", out, *flags], out)
    fit = unmix.fit(path, out=out, **options)
    assert factors(fit) == factors(unmix.fit(X, **options))
    assert fit.run["command_line"][1:3] == ["fit", str(path)]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [(["--runs", "25", "--keep-runs"], "keeps its runs"), (["--segments", "8", "--tolerance", "0"], "in segments")],
)
def test_a_fit_that_python_cannot_compute_is_left_to_the_command(command, path, tmp_path, asked, message):
    out = tmp_path / "out"
    flags = ["--rank", "7", "--sparsity", "0.2", "--engine", "cpu", "--checkpoint-every", OFTEN, "-q"]
    flags += ["--max-iterations", "500", *asked]
    kill_after_checkpoint([command, "fit", path, "--out", out, *flags], out)
    with pytest.raises(ValueError, match=f"{message}; go on by `unmix fit --resume`"):
        unmix.fit(path, out=out, **LONG)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 6}, "n_components=7 is there, and n_components=6 is asked for"),
        ({"random_state": 3}, "random_state=0 is there, and random_state=3 is asked for"),
        (
            {"penalty": 0.5, "max_iter": 400},
            "max_iter=500, penalty=0.06 is there, and max_iter=400, penalty=0.5 is asked",
        ),
        ({"runs": 3, "tol": None, "max_iter": None}, "runs=1.*runs=3"),
        ({"init": "random"}, "init=kmeans.*init=random"),
        ({"init": np.ones((3000, 7), np.float32)}, "init=kmeans.*init=given"),
    ],
)
def test_a_fit_does_not_go_on_with_other_options(stopped, X, options, message):
    with pytest.raises(ValueError, match=message):
        unmix.fit(X, out=stopped, **{**LONG, **options})


@pytest.fixture
def stopped(X, tmp_path):
    """The folder of a fit that was stopped, with its checkpoint."""
    out = tmp_path / "out"
    unmix.fit(X, out=out, progress=stop_at(20, StopIteration()), **LONG)
    assert has_checkpoint(out)
    yield out
    # What is refused changes nothing: the fit still goes on.
    assert has_checkpoint(out)
    assert factors(unmix.fit(X, out=out, **LONG)) == factors(unmix.fit(X, **LONG))


def test_a_fit_does_not_go_on_with_other_activations(stopped, X):
    other = X.copy()
    other[77, 7] += 1
    with pytest.raises(ValueError, match="changed since the fit .* began"):
        unmix.fit(other, out=stopped, **LONG)
    for other in (X[:-1], X.astype(np.float16)):
        with pytest.raises(ValueError, match="changed since the fit .* began"):
            unmix.fit(other, out=stopped, **LONG)


def test_given_coefficients_must_be_the_same(X, tmp_path):
    out, start = tmp_path / "out", np.random.default_rng(0).random((3000, 7), np.float32)
    unmix.fit(X, out=out, init=start, progress=stop_at(20, StopIteration()), **LONG)
    with pytest.raises(ValueError, match="init=coefficients of the fingerprint"):
        unmix.fit(X, out=out, init=start + 1, **LONG)
    fit = unmix.fit(X, out=out, init=start, **LONG)
    assert factors(fit) == factors(unmix.fit(X, init=start, **LONG))
    with pytest.raises(ValueError, match="began from coefficients"):
        unmix.fit(X, out=out, init=start, **LONG)


def test_two_processes_do_not_work_on_one_folder(X, tmp_path):
    out = tmp_path / "out"

    def fit_again(told):
        if told["iteration"] == 20:
            with pytest.raises(ValueError, match="another process is working on it"):
                unmix.fit(X, out=out, **LONG)

    unmix.fit(X, out=out, checkpoint_every=OFTEN, progress=fit_again, **{**LONG, "max_iter": 50})


def test_damaged_checkpoints_are_passed_over_or_refused(X, tmp_path):
    out, partial, kept = tmp_path / "out", tmp_path / "out.partial", tmp_path / "kept"

    def stop(told):
        # So long takes no iteration, so there is a checkpoint after each.
        time.sleep(0.005)
        if told["iteration"] == 20:
            raise StopIteration

    unmix.fit(X, out=out, checkpoint_every=OFTEN, progress=stop, **LONG)
    shutil.copytree(partial, kept)
    first, second = sorted(partial.glob("checkpoint-*"), key=lambda file: int(file.name.split("-")[1]))

    def damage(file):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)

    damage(first)
    damage(second)
    with pytest.raises(ValueError, match="does not have the hash"):
        unmix.fit(X, out=out, **LONG)
    shutil.copytree(kept, partial, dirs_exist_ok=True)
    (partial / "request.json").write_text("{}")
    with pytest.raises(ValueError, match="what the fit was asked for cannot be read"):
        unmix.fit(X, out=out, **LONG)
    shutil.copytree(kept, partial, dirs_exist_ok=True)
    damage(second)
    assert factors(unmix.fit(X, out=out, **LONG)) == factors(unmix.fit(X, **LONG))


def test_activations_that_are_changed_meanwhile_leave_a_checkpoint_of_what_they_were(X, tmp_path):
    out, changed = tmp_path / "out", X.copy()

    def change(told):
        if told["iteration"] == 20:
            changed[77, 7] += 1

    with pytest.raises(OSError, match="changed"):
        unmix.fit(changed, out=out, checkpoint_every=OFTEN, progress=change, **LONG)
    assert names(tmp_path) == ["out.partial"]
    changed[77, 7] = X[77, 7]
    assert factors(unmix.fit(changed, out=out, **LONG)) == factors(unmix.fit(X, **LONG))


def test_the_same_call_returns_a_complete_fit(X, path, tmp_path):
    for number, options in enumerate((OPTIONS, RUNS, {**OPTIONS, "runs": 5}, {**OPTIONS, "solver": "projected-ls"})):
        out = tmp_path / f"out-{number}"
        acts = unmix.Activations(X, token_ids=np.arange(3000), token_strings=[str(row) for row in range(3000)])
        first = unmix.fit(acts, out=out, **options)
        written = os.stat(out / "run.json").st_mtime_ns
        # What a process left that was killed while it deleted its checkpoints is deleted.
        (tmp_path / f"out-{number}.partial").mkdir()
        again = unmix.fit(acts, out=out, **options)
        assert factors(again) == factors(first) and again.token_strings == first.token_strings
        assert os.stat(out / "run.json").st_mtime_ns == written
        assert names(tmp_path) == [f"out-{n}" for n in range(number + 1)]
        for other, message in [
            ({"n_components": 6}, "n_components=7 is there, and n_components=6 is asked for"),
            ({"max_iter": 7}, "max_iter"),
            ({"runs": 3}, "runs"),
        ]:
            with pytest.raises(ValueError, match=message):
                unmix.fit(acts, out=out, **{**options, **other})
        with pytest.raises(ValueError, match="other columns"):
            unmix.fit(X, out=out, **options)
        with pytest.raises(ValueError, match="changed since the fit"):
            unmix.fit(unmix.Activations(X + 1, token_ids=np.arange(3000)), out=out, **options)


def test_a_saved_fit_is_complete_too(X, tmp_path):
    unmix.fit(X, **OPTIONS).save(tmp_path / "out")
    told = []
    unmix.fit(X, out=tmp_path / "out", progress=told.append, **OPTIONS)
    assert not told


def test_what_is_no_fit_is_left_alone(X, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    for name in ("file", "folder"):
        with pytest.raises(ValueError, match=name):
            unmix.fit(X, out=tmp_path / name, **OPTIONS)
    with pytest.raises(ValueError, match="does not exist"):
        unmix.fit(X, out=tmp_path / "missing" / "out", **OPTIONS)
    assert (tmp_path / "folder" / "notes.txt").read_text() == "mine" and (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"checkpoint_every": 5}, ValueError, "give out="),
        ({"out": "out", "random_state": None}, ValueError, "random_state=None"),
        ({"out": "out", "checkpoint_every": -1}, ValueError, "checkpoint_every=-1"),
        ({"out": "out", "checkpoint_every": "5"}, ValueError, 'checkpoint_every="5": a time with its unit'),
        ({"out": "out", "checkpoint_every": [5]}, TypeError, "checkpoint_every"),
        ({"out": 5}, TypeError, "out"),
    ],
)
def test_impossible_arguments_are_refused(X, tmp_path, monkeypatch, options, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        unmix.fit(X, n_components=3, **options)
    assert not names(tmp_path)
