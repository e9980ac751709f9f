"""One method on one matrix: the `unmix` command, or worker.py in a process of its own."""
import json
import os
import subprocess
import sys
from pathlib import Path

import summary

# What only some methods tell, as far as a row takes it over.
OPTIONAL = ("relative_error", "own_relative_error", "problem", "start_seconds", "adapter", "device", "threads")
OPTIONAL += ("peak_device_bytes",)


class Failed(Exception):
    """A run that gave no result, and what it said."""


def run(command, environment=None):
    """What a command prints to its standard output."""
    variables = {"PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1"} | (environment or {})
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, check=False, capture_output=True, text=True, env=os.environ | variables)
    except OSError as error:
        raise Failed(f"{words[0]} did not start: {error}") from error
    if done.returncode:
        raise Failed(complaint(done.stderr) or f"exit code {done.returncode}")
    return done.stdout


def complaint(text):
    """The line that says what went wrong: the first that begins with "error", as of the command, or the last, as of
    Python."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("error")), lines[-1] if lines else "")


def unmix(binary, solver, file, work, rank, sparsity, seed, *, engine="cpu", adapter=None, environment=None, **options):
    """A fit by the command, with its own start and stopping rule unless the options `start`, a file of coefficients,
    and `iterations` say otherwise. If `sparsity` is `None`, the command chooses the number of neurons itself."""
    command = [binary, "fit", file, "--rank", rank, "--solver", solver, "--engine", engine]
    command += ["--seed", seed, "--out", Path(work) / "fit", "--force", "--json", "--quiet"]
    if sparsity is not None:
        command += ["--sparsity", sparsity]
    if adapter:
        command += ["--adapter", adapter]
    if "start" in options:
        command += ["--init-coefficients", options["start"]]
    if "iterations" in options:
        command += ["--max-iterations", options["iterations"], "--tolerance", 0]
    record = json.loads(run(command, environment))
    element = {"f16": 2, "bf16": 2, "f32": 4}[record["input"]["element"]]
    return {
        "start_seconds": record["start_seconds"],
        # The first iteration does what is done once, so it is not counted.
        "seconds": summary.differences(record["seconds_curve"]),
        "ends": record["seconds_curve"],
        "losses": record["loss_curve"],
        "squared_norm": record["squared_norm"],
        "relative_error": record["relative_error"],
        "iterations": record["iterations"],
        "kept_per_feature": record["kept_per_feature"],
        "engine": record["engine"],
        "adapter": record["adapter"],
        "activations_bytes": record["tokens"] * record["neurons"] * element,
        "peak_memory_bytes": record.get("peak_memory_bytes"),
        "versions": {"unmix": record["unmix_version"]},
    }


def unmix_product(binary, tokens, neurons, rank, element):
    """The dense product YᵀX alone, of operands as they are and rounded where the engine does that, and a whole iteration, as
    the command times its stages on synthetic activations."""

    def stages(solver):
        command = [binary, "bench", "--stages", "--engine", "cpu", "--element", element, "--json", "--quiet"]
        command += ["--tokens", tokens, "--neurons", neurons, "--rank", rank, "--solver", solver]
        record = json.loads(run(command))
        products = [stage for stage in record["stages"] if stage["kernel"] == "cross_product"]
        products = [stage for stage in products if "cross product" in stage["writes"]]
        return record, sum(stage["seconds"] for stage in products)

    # Multiplicative updates take the product as it is, projected least squares may round.
    (_, exact), (record, rounded) = stages("mu"), stages("projected-ls")
    milliseconds = [summary.digits(seconds * 1e3) for seconds in (rounded, record["seconds"])]
    return {
        "seconds": [exact],
        "iterations": record["iterations"],
        "problem": f"the dense product YᵀX alone, {element}; within projected-ls {milliseconds[0]} ms of an iteration's "
        f"{milliseconds[1]} ms",
        "activations_bytes": tokens * neurons * {"f16": 2, "f32": 4}[element],
        "peak_memory_bytes": None,
        "versions": {},
    }


def unmix_memory(binary, engine="cpu", environment=None):
    """Memory of the command before it has any activations, in bytes."""
    command = [binary, "bench", "--tokens", 64, "--neurons", 64, "--rank", 2, "--iterations", 1, "--engine", engine]
    return json.loads(run(command + ["--json", "--quiet"], environment)).get("memory_before_bytes")


def worker(method, file, rank, sparsity, seed, start, iterations, *, library_iterations=30, device="cpu", tf32=False):
    """A method of worker.py."""
    script = Path(__file__).with_name("worker.py")
    command = [sys.executable, script, method, file, "--rank", rank, "--sparsity", sparsity, "--seed", seed]
    command += ["--start", start, "--iterations", iterations, "--library-iterations", library_iterations]
    command += ["--device", device]
    result = json.loads(run(command + ["--tf32"] * tf32))
    if "losses" in result:
        result["ends"] = summary.ends(result["start_seconds"], result["seconds"])
        # As for the command: the first iteration does what is done once.
        result["seconds"] = result["seconds"][1:]
        result["iterations"] = len(result["losses"])
        result["relative_error"] = min(result["losses"]) / result["squared_norm"]
    return result


def row(results, target):
    """One method's results of all rounds, the first of which ran longest, and its way to the target loss."""
    first = results[0]
    entry = {
        "iteration_seconds": summary.spread([summary.spread(result["seconds"])["median"] for result in results]),
        "iterations": first["iterations"],
        "activations_bytes": first["activations_bytes"],
        "peak_memory_bytes": max(result["peak_memory_bytes"] or 0 for result in results) or None,
        "memory_before_bytes": first.get("memory_before_bytes"),
    }
    entry["mean_iteration_seconds"] = summary.spread([sum(one["seconds"]) / len(one["seconds"]) for one in results])
    for key in OPTIONAL:
        if key in first:
            entry[key] = first[key]
    if target is not None and "losses" in first:
        reached = [summary.reach(result["losses"], result["ends"], target) for result in results]
        if all(reached):
            entry["iterations_to_target"] = reached[0][0]
            entry["seconds_to_target"] = summary.spread([seconds for _, seconds in reached])
    return entry
