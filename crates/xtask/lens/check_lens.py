"""Compares `unmix lens` with transformers: python check_lens.py UNMIX WORK [--fixture FOLDER]

For each family in families.py a tiny model in random numbers, with the embedding for its unembedding and with one of its own,
in one file and in shards, and with a square down-projection; the logits of features and of single neurons for every token,
by the lens and by the model's own forward. Prints the largest difference of each, and fails where one is above 1e-4.
"""
import argparse
import json
import shutil
import subprocess
from pathlib import Path

import torch
import transformers
from families import FAMILIES, LAYER, TOKENS
from fixture import Fixture
from models import logits, make, neurons
from safetensors.torch import load_file, save_file

RANK = 3
MOST = 1e-4


def fit(unmix, work, width):
    """A fit of random activations of that many neurons: its folder, and its features."""
    folder = work / f"fit-{width}"
    if not folder.exists():
        torch.manual_seed(width)
        activations = work / f"activations-{width}.safetensors"
        save_file({"activations": torch.randn(200, width)}, activations)
        subprocess.run([unmix, "fit", activations, "--rank", str(RANK), "--sparsity", "0.5", "--engine", "cpu", "--out", folder,
                        "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return folder, load_file(folder / "factorization.safetensors")["features"]


def read(unmix, folder, model, part, width):
    """The lens' logits of all features, and of all neurons alone, [RANK + width, tokens]."""
    command = [unmix, "lens", folder, "--model", model, "--json", "--top", str(TOKENS)]
    command += ["--feature", ",".join(map(str, range(RANK))), "--neuron", ",".join(map(str, range(width))), *part.arguments]
    if "--down-proj" not in part.arguments:
        command += ["--layer", str(LAYER)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(run.stderr.strip())
    found = json.loads(run.stdout)
    rows = torch.full((RANK + width, TOKENS), float("nan"), dtype=torch.float64)
    for row, reading in zip(rows, found["features"] + found["neurons"]):
        for token in reading["promoted"]:
            row[token["token_id"]] = token["logit"] + reading["mean_logit"]
    return rows


def check(unmix, work, family, tied, square, shards, fixture):
    model = make(family, tied, square, seed=len(family.model_type) + 2 * tied + square)
    folder = work / "model"
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, max_shard_size="2KB" if shards else "1GB")
    is_sharded = (folder / "model.safetensors.index.json").exists()
    assert is_sharded == shards, f"{family.model_type}: shards {is_sharded}"
    largest = 0.0
    for part in family.parts:
        width = neurons(model, family, part)
        fitted, features = fit(unmix, work, width)
        features = torch.cat([features, torch.eye(width)])
        expected = logits(model, family, part, features)
        if fixture and not shards:
            fixture.add(family, tied, square, part, folder, features[:RANK], expected[:RANK])
        difference = (read(unmix, fitted, folder, part, width) - expected).abs().max().item()
        largest = max(largest, difference if difference == difference else float("inf"))
    return largest


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("unmix")
    parser.add_argument("work", type=Path)
    parser.add_argument("--fixture", type=Path)
    arguments = parser.parse_args()
    work = arguments.work / "check"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    fixture = Fixture() if arguments.fixture else None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    columns = [("separate", False, False, False), ("separate, sharded", False, False, True), ("tied", True, False, False),
               ("tied, sharded", True, False, True), ("square", False, True, False)]
    print(f"transformers {transformers.__version__}, torch {torch.__version__}; largest difference of logits\n")
    print("| model_type | " + " | ".join(name for name, *_ in columns) + " |")
    print("|---|" + "---:|" * len(columns))
    failed = []
    for family in FAMILIES:
        cells = []
        for name, *variant in columns:
            try:
                difference = check(arguments.unmix, work, family, *variant, fixture)
                cells.append(f"{difference:.1e}")
                is_good = difference <= MOST
            except (RuntimeError, AssertionError) as problem:
                cells.append(str(problem).splitlines()[0])
                is_good = False
            if not is_good:
                failed.append(f"{family.model_type} ({name})")
        print(f"| {family.model_type} | " + " | ".join(cells) + " |", flush=True)
    if fixture:
        fixture.write(arguments.fixture)
    print(f"\n{len(FAMILIES)} types, {len(columns)} variants each; {len(failed)} beyond {MOST:g}")
    if failed:
        raise SystemExit("beyond it: " + ", ".join(failed))


if __name__ == "__main__":
    main()
