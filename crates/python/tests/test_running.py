"""While a fit runs: progress, Ctrl-C, logs, threads, forks and memory."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import unmix

LONG = {"n_components": 8, "device": "cpu", "tol": 0.0, "max_iter": 100_000}


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32)


def small_fit(seed):
    X = np.random.default_rng(seed).normal(size=(400, 48)).astype(np.float32)
    return unmix.fit(X, n_components=6, device="cpu", max_iter=10).components.tobytes()


def test_a_callback_is_told_every_iteration(X):
    told = []
    fit = unmix.fit(X, n_components=8, device="cpu", max_iter=4, tol=0.0, progress=told.append)
    iterations = [progress["iteration"] for progress in told if progress["stage"] == "iterate"]
    assert iterations == list(range(5)) and told[-1]["stage"] == "verify"
    assert told[-2]["relative_error"] == pytest.approx(fit.run["relative_error"], rel=1e-3)


def test_a_callback_that_raises_stop_iteration_ends_the_fit(X):
    def stop(progress):
        if progress["iteration"] == 3:
            raise StopIteration

    fit = unmix.fit(X, progress=stop, **LONG)
    assert fit.run["stop_reason"] == "interrupted" and 3 <= fit.run["iterations"] < 50


def test_what_a_callback_raises_comes_back(X):
    def fail(progress):
        raise RuntimeError("from the callback")

    model = unmix.SemiNMF(progress=fail, **LONG)
    with pytest.raises(RuntimeError, match="from the callback"):
        model.fit(X)
    assert small_fit(0) == small_fit(0)


def test_ctrl_c_stops_after_the_iteration_and_keeps_the_best(X):
    def press(progress):
        if progress["iteration"] == 2:
            signal.raise_signal(signal.SIGINT)

    model = unmix.SemiNMF(progress=press, **LONG)
    with pytest.raises(KeyboardInterrupt) as interrupted:
        model.fit(X)
    assert isinstance(interrupted.value, unmix.FitInterrupted)
    assert interrupted.value.fit is model.result_ and model.components_.shape == (8, 64)
    assert 2 <= model.n_iter_ < 50
    with pytest.raises(KeyboardInterrupt):
        unmix.fit(X, progress=press, **LONG)


def test_ctrl_c_stops_a_fit_without_a_callback(X):
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        unmix.fit(X, **LONG)
    assert time.monotonic() - begun < 30


def test_progress_is_a_bar(X, capfd):
    unmix.fit(X, n_components=8, device="cpu", max_iter=3, progress=True)
    assert "iterations" in capfd.readouterr().err


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_nothing_is_printed_unless_asked(X, capfd, device):
    unmix.fit(X, n_components=8, device=device, max_iter=3)
    assert capfd.readouterr() == ("", "")


def test_warnings_reach_a_user_who_has_not_set_up_logging():
    program = "import numpy as np, unmix; unmix.fit(np.zeros((50, 5)), n_components=2, device='cpu')"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("", "all activations are zero, so the features stand for nothing\n")


def test_the_log_of_the_engine_is_pythons(X, caplog):
    with caplog.at_level(logging.INFO, logger="unmix"):
        unmix.fit(X, n_components=8, device="cpu", max_iter=3)
    assert any(record.name.startswith("unmix") and "engine: cpu" in record.message for record in caplog.records)
    outlier = X.copy()
    outlier[5] *= 1e4
    caplog.clear()
    unmix.fit(outlier, n_components=8, device="cpu", max_iter=3)
    assert any(record.levelno == logging.WARNING for record in caplog.records)


def test_other_threads_run_during_a_fit(X):
    counted = 0
    done = threading.Event()

    def count():
        nonlocal counted
        while not done.is_set():
            counted += 1
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    unmix.fit(X, n_components=8, device="cpu", tol=0.0, max_iter=300)
    done.set()
    counter.join()
    assert counted > 10


def test_two_threads_fit_at_once_and_get_their_own_bits():
    expected = [small_fit(seed) for seed in range(4)]
    found = [None] * 4

    def compute(seed):
        found[seed] = small_fit(seed)

    threads = [threading.Thread(target=compute, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def _send_fit(seed, connection):
    connection.send(small_fit(seed))


@pytest.mark.parametrize("method", [m for m in ("fork", "spawn") if m in multiprocessing.get_all_start_methods()])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_process_fits_after_its_parent_did(method):
    expected = small_fit(3)
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    child = context.Process(target=_send_fit, args=(3, theirs))
    child.start()
    assert ours.poll(120), "the child did not answer"
    assert ours.recv() == expected
    child.join(60)
    assert child.exitcode == 0


def test_a_fit_works_after_one_that_failed(X):
    before = small_fit(1)
    broken = X.copy()
    broken[3, 3] = np.nan
    for _ in range(3):
        with pytest.raises(ValueError, match="token 3, neuron 3"):
            unmix.fit(broken, n_components=4, device="cpu")
        with pytest.raises(ValueError, match="n_components=100"):
            unmix.fit(X, n_components=100, device="cpu")
    assert small_fit(1) == before


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_fit_takes_little_memory_beside_its_array(dtype):
    program = f"""
import numpy as np, unmix
X = np.empty(({300_000 if dtype == "float16" else 150_000}, 512), dtype="{dtype}")
rng = np.random.default_rng(0)
for start in range(0, len(X), 5000):
    X[start:start + 5000] = rng.normal(size=(5000, 512))
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM:")).split()[1]) * 1024
before = peak()
unmix.fit(X, n_components=8, device="cpu", max_iter=2)
print((peak() - before) / X.nbytes)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.15
