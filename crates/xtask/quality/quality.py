"""Fits half of some labelled prompts with several settings, seeds and ranks, and scores the features on the other half.

`cargo xtask quality` starts this. scores.py defines the scores. The scores of a fit are kept in the folder --work, and the fit itself is
deleted, so a command that is repeated goes on where it was interrupted. They count only for the same program, activations and options.
"""

import argparse
import hashlib
import itertools
import json
import shlex
import subprocess
import sys
from pathlib import Path
from shutil import rmtree

import figure
import numpy as np
import table
from safetensors.numpy import save_file
from scores import Labelled, agreement, score


def fingerprint(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:16]


def key_of(*parts):
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=10).hexdigest()


class Layer:
    """One file of activations. It is read when the first fit of it must be computed or scored."""

    def __init__(self, path, corpus, work):
        self.path, self.corpus, self.work = path, corpus, work
        self.name = path.stem.removeprefix("activations-")
        self.key = key_of(fingerprint(path), fingerprint(corpus))
        self.labelled = None

    def read(self):
        if self.labelled is None:
            self.labelled = Labelled(self.path, self.corpus)
            self.training = self.work / f"training-{self.key}.safetensors"
            if not self.training.exists():
                unfinished = self.training.with_suffix(".unfinished")
                save_file(self.labelled.training(), unfinished)
                unfinished.rename(self.training)
        return self.labelled


def measure(layer, program, program_key, options, rank, seed, work):
    """The scores of a fit and its unit features [K, d], computed or kept from an earlier call."""
    key = key_of(layer.key, program_key, options, rank, seed)
    kept, features = work / f"{key}.json", work / f"{key}.npz"
    if kept.exists():
        return json.loads(kept.read_text()), features
    labelled, folder = layer.read(), work / f"fit-{key}"
    command = [program, "fit", layer.training, "--rank", rank, "--seed", seed, "--out", folder, "--force", "--progress", "none", *options]
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, encoding="utf-8", check=False)
    if result.returncode != 0:
        raise SystemExit(f"{shlex.join(str(word) for word in command)} failed ({result.returncode}):\n{result.stderr}")
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    scores, unit = score(labelled, folder)
    scores |= {"iterations": run["iterations"], "seconds": run["seconds"]}
    neurons = unit.any(0)
    np.savez_compressed(features, neurons=np.flatnonzero(neurons), values=unit[:, neurons], width=unit.shape[1])
    rmtree(folder)
    # The scores are written last: where they are, everything is.
    unfinished = kept.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(scores))
    unfinished.rename(kept)
    return scores, features


def unit_features(path):
    stored = np.load(path)
    unit = np.zeros((len(stored["values"]), int(stored["width"])), np.float32)
    unit[:, stored["neurons"]] = stored["values"]
    return unit


def stabilities(paths, work):
    """The agreement of every two fits that have equally many features."""
    agreements = []
    for one, other in itertools.combinations(paths, 2):
        kept = work / f"{key_of(one.stem, other.stem)}.agreement"
        if not kept.exists():
            pair = unit_features(one), unit_features(other)
            kept.write_text(json.dumps(agreement(*pair) if len(pair[0]) == len(pair[1]) else None))
        agreements.append(json.loads(kept.read_text()))
    return [value for value in agreements if value is not None]


def setting(text):
    name, sign, options = text.partition("=")
    if not (name and sign):
        raise argparse.ArgumentTypeError(f"{text!r}: NAME=OPTIONS is needed, as in 'hals=--solver hals --penalty 0.05'")
    return name, shlex.split(options)


def numbers(text):
    return [int(part) for part in text.split(",")]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unmix", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--setting", type=setting, action="append", required=True)
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    parser.add_argument("--ranks", type=numbers, default=[100])
    parser.add_argument("--commit", default="not known")
    parser.add_argument("--command", default="")
    return parser.parse_args()


def main():
    args = arguments()
    args.work.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    program_key = fingerprint(args.unmix)
    points = []
    fits = len(args.data) * len(args.ranks) * len(args.setting) * len(args.seeds)
    done = 0
    for path in args.data:
        layer = Layer(path, args.corpus, args.work)
        for rank, (name, options) in itertools.product(args.ranks, args.setting):
            scored = []
            for seed in args.seeds:
                scored.append(measure(layer, args.unmix, program_key, options, rank, seed, args.work))
                done += 1
                print(f"\r{done} of {fits} fits", end="", file=sys.stderr, flush=True)
            values = {score: [scores[score] for scores, _ in scored] for score in scored[0][0]}
            values["stability"] = stabilities([features for _, features in scored], args.work)
            points.append({"layer": layer.name, "rank": rank, "setting": name, "values": values})
    print(file=sys.stderr)
    settings = {name: shlex.join(options) for name, options in args.setting}
    about = {"commit": args.commit, "command": args.command, "settings": settings, "seeds": args.seeds}
    (args.out / "quality.json").write_text(table.as_json(about, points), encoding="utf-8")
    text = table.markdown(about, points)
    (args.out / "quality.md").write_text(text, encoding="utf-8")
    (args.out / "quality.svg").write_text(figure.trade_off(points), encoding="utf-8")
    print(text)


main()
