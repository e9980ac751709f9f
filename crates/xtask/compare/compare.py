"""Compares unmix with other factorizations on the same matrices; called by `cargo xtask compare`, which has its
options.

Method after method in each round, each in a process of its own. Writes compare.json and compare.md.
"""
import argparse
import json
import os
import re
import sys
import time
from pathlib import Path

import machine
import runs
import summary
from matrices import activations, make, make_start

# A loss counts as reached when it is that near, relatively: far above rounding, far below what matters.
NEARNESS = 1e-5

NOTES = """\
- **An iteration**: least, median and most of the rounds, each of which gives the median of its iterations but the
  first. Imports, reading and converting the activations, and a first matrix product, which starts the threads, are
  outside of all times. unmix computes its loss within an iteration; for `torch` it is computed while the clock stands.
- **To the published loss**: iterations, and seconds with the start (by k-means for unmix), until the loss is what the
  published iteration in PyTorch had as its best, or within {nearness:g} of it.
- `torch` is the published iteration written in PyTorch from its formulas, float32, subnormals flushed, from uniform
  random coefficients. It was checked against reference runs before. `torch-residual` is the same, but its time includes
  what the authors' program does for the loss in every iteration: the residual matrix, its norm, a copy of the best.
- unmix runs as `unmix fit` does by default, with its own start and stopping rule; but `unmix-paper` from the
  coefficients that `torch` starts from, and for as many iterations.
- **Relative error** is ‖X − YZ‖²/‖X‖² of the best iterate with {sparsity:.4g} of the neurons in each feature, and of
  `unmix-hals`, the default, with as many as `unmix fit` chooses. What
  stands behind "own:" is the error of another problem, and says nothing about this one. Methods for matrices without
  negative values factorize [X⁺, X⁻], of twice the width; they and SemiNMF have dense features. They run
  {library_iterations} iterations, from a random start.
- **Products**: `torch-product` and `unmix-product-…` time the one dense product of an iteration by itself, to f32
  precision, the latter as `unmix bench --stages` does, on synthetic activations of the same shape. With AMX an iteration
  of `projected-ls` rounds its operands to bf16 instead; what that takes is said beside it.
- **Memory**: peak of the process; what it had before the activations were read (imports); the activations in the form
  that the method holds. For unmix, which maps its file into memory, pages of the file count.
"""


def main():
    args = arguments()
    folder = Path(args.out)
    (folder / "work").mkdir(parents=True, exist_ok=True)
    record = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": args.command,
        "commit": args.commit,
        "rustc": args.rustc,
        "machine": machine.describe(),
        "settings": {key: getattr(args, key) for key in SETTINGS},
        "versions": {},
        "matrices": [],
    }
    failed = False
    for name, file, rank in matrices(args, folder / "work"):
        matrix, problems = compare(args, name, file, rank, folder / "work", record["versions"])
        failed |= problems
        record["matrices"].append(matrix)
        # What is there is kept, should a later matrix end in an accident.
        record["machine"]["load_average_after"] = os.getloadavg()[0]
        (folder / "compare.json").write_text(as_json(record))
        (folder / "compare.md").write_text(report(record))
    print(f"\n{report(record)}\nWritten: {folder / 'compare.json'}, {folder / 'compare.md'}")
    sys.exit(1 if failed else 0)


def as_json(record):
    """The record as JSON, with each list of numbers on a line of its own."""
    text = json.dumps(record, indent=1, ensure_ascii=False)
    return re.sub(r"\[[\s\d.,eE+-]+\]", lambda numbers: re.sub(r"\s+", " ", numbers[0]), text) + "\n"


SETTINGS = ("rounds", "iterations", "library_iterations", "sparsity", "seed", "quick")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("unmix", "out", "commit", "rustc", "command"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("rounds", "iterations", "library-iterations", "rank", "seed"):
        parser.add_argument(f"--{name}", required=True, type=int)
    parser.add_argument("--sparsity", required=True, type=float)
    parser.add_argument("--methods", required=True, type=lambda text: text.split(","))
    parser.add_argument("--data", action="append", default=[])
    parser.add_argument("--shape", action="append", default=[], help="n,d,K of synthetic activations")
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


def matrices(args, work):
    """Names, files and ranks."""
    for file in args.data:
        yield Path(file).name, Path(file), args.rank
    for shape in args.shape:
        tokens, neurons, rank = map(int, shape.split(","))
        file = work / f"synthetic-{tokens}-{neurons}-{rank}-{args.seed}.safetensors"
        make(file, tokens, neurons, rank, args.seed)
        yield "synthetic", file, rank


def compare(args, name, file, rank, work, versions):
    """All rounds on one matrix. Returns its part of the record, and whether something failed that must not."""
    values, element = activations(file)
    tokens, neurons = values.shape
    print(f"\n{name}: {tokens:,} × {neurons:,}, rank {rank}", flush=True)
    start = work / "start.safetensors"
    make_start(start, tokens, rank, args.seed)
    # Read once, so that all find it in the system's cache.
    file.read_bytes()
    results, errors = {method: [] for method in args.methods}, {}
    most = dict.fromkeys(args.methods, args.iterations)
    target = published = None
    for number in range(args.rounds):
        # The published iteration comes first: its best loss is what all others aim at.
        for method in sorted(args.methods, key=lambda method: method != "torch"):
            if method in errors:
                continue
            print(f"  round {number + 1} of {args.rounds}: {method}", flush=True)
            try:
                result = measure(args, method, file, rank, start, most[method])
            except runs.Failed as failure:
                print(f"    failed: {failure}", flush=True)
                errors[method] = str(failure)
                continue
            results[method].append(result)
            versions |= result["versions"]
            if method == "torch" and number == 0:
                least, at = summary.best(result["losses"])
                target = least * (1 + NEARNESS)
                published = {
                    "best_loss": least,
                    "best_iteration": at,
                    "iterations": len(result["losses"]),
                    "relative_error": least / result["squared_norm"],
                    "last_relative_error": result["losses"][-1] / result["squared_norm"],
                }
            if number == 0 and target is not None and "losses" in result:
                # Later rounds give times alone, and need not run on behind the target.
                reached = summary.reach(result["losses"], result["ends"], target)
                most[method] = max(2, reached[0]) if reached else most[method]
    rows = {}
    for method in args.methods:
        rows[method] = {"error": errors[method]} if method in errors else runs.row(results[method], target)
    matrix = {
        "name": name,
        "tokens": tokens,
        "neurons": neurons,
        "element": element,
        "rank": rank,
        "published": published,
        "methods": rows,
        "rounds": {method: [course(result) for result in all_rounds] for method, all_rounds in results.items()},
    }
    return matrix, any(method in ("torch", "torch-residual") or method.startswith("unmix-") for method in errors)


def measure(args, method, file, rank, start, iterations):
    """One run of a method."""
    if not method.startswith("unmix-"):
        settings = (file, rank, args.sparsity, args.seed, start, iterations)
        return runs.worker(method, *settings, library_iterations=args.library_iterations)
    solver = method.removeprefix("unmix-")
    if solver.startswith("product-"):
        tokens, neurons = activations(file)[0].shape
        return runs.unmix_product(args.unmix, tokens, neurons, rank, solver.removeprefix("product-"))
    options = {}
    if solver == "paper":
        options = {"start": start, "iterations": iterations}
    elif args.quick:
        # They stop by themselves, but a smoke test does not wait for that.
        options = {"iterations": iterations}
    sparsity = None if solver == "hals" else args.sparsity
    result = runs.unmix(args.unmix, solver, file, start.parent, rank, sparsity, args.seed, **options)
    return result | {"memory_before_bytes": runs.unmix_memory(args.unmix)}


def course(result):
    """What a round said, to a microsecond and nine digits."""
    rounded = {"seconds": [round(second, 6) for second in result["seconds"]]}
    if "losses" in result:
        rounded["start_seconds"] = round(result["start_seconds"], 6)
        rounded["ends"] = [round(second, 6) for second in result["ends"]]
        rounded["losses"] = [float(f"{loss:.9g}") for loss in result["losses"]]
    return rounded | {"peak_memory_bytes": result["peak_memory_bytes"]}


def report(record):
    """The record as markdown."""
    on, settings = record["machine"], record["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(record["versions"].items()))
    memory = f"{(on['memory_bytes'] or 0) / 2**30:.0f} GiB"
    processor = f"{on['processor']}, {on['cores']} cores, all of them used ({', '.join(on['vectors']) or 'no AVX2'})"
    software = f"{on['system']}, kernel {on['kernel']}; {record['rustc']}, Python {on['python']}; {versions}"
    load = f"load average {on['load_average']:.1f} before, {on['load_average_after']:.1f} after"
    lines = [
        "# unmix and others on the same matrices",
        "",
        f"1. **Commit**: {record['commit']}.",
        f"2. **Machine**: {processor}, {memory}; {software}.",
        f"3. **Command**: `{record['command']}`, {record['date']}.",
        f"4. **What else ran**: {load}. Rounds: {settings['rounds']}, method after method in each.",
        "5. **Results**:",
    ]
    for matrix in record["matrices"]:
        size = f"{matrix['tokens']:,} tokens × {matrix['neurons']:,} neurons, {matrix['element']}, K = {matrix['rank']}"
        lines += ["", f"### {matrix['name']}: {size}", ""]
        published = matrix["published"]
        if published:
            at = f"at iteration {published['best_iteration']} of {published['iterations']}"
            best, last = (f"{published[key]:.4f}" for key in ("relative_error", "last_relative_error"))
            lines += [f"Published iteration: relative error {best} at best, {at}; {last} at the end.", ""]
        header = ["method", "an iteration", "iterations to the published loss", "seconds to it"]
        header += ["relative error (iterations)", "peak memory", "before the activations", "activations"]
        lines.append(summary.table(header, [cells(method, row) for method, row in matrix["methods"].items()]))
    notes = NOTES.format(**settings, nearness=NEARNESS)
    return "\n".join(lines) + "\n\n" + notes


def cells(method, row):
    """A row of the table."""
    if "error" in row:
        return [method, f"no result: {row['error']}"] + [""] * 6
    error = row.get("relative_error")
    shown = f"own: {row['own_relative_error']:.4f}" if "own_relative_error" in row else ""
    if error is not None:
        shown = f"{error:.4f} ({row['iterations']})"
    target = ["not reached", ""] if "relative_error" in row else [row["problem"], ""]
    if "iterations_to_target" in row:
        target = [str(row["iterations_to_target"]), summary.three(row["seconds_to_target"])]
    memory = [row["peak_memory_bytes"], row["memory_before_bytes"], row["activations_bytes"]]
    sizes = [summary.megabytes(count) if count else "not known" for count in memory]
    return [method, summary.milliseconds(row["iteration_seconds"]), *target, shown, *sizes]


if __name__ == "__main__":
    main()
