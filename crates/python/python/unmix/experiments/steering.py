"""The causal experiment: which directions steer a model towards a concept best, at equal divergence on neutral text?

`python -m unmix.experiments.steering --help` lists the options of the command.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..models import Adapter, adapt
from .corpus import Corpus
from .judge import KEY_VARIABLE, Judge, judge_texts
from .methods import MAIN, METHODS
from .page import page, write
from .settings import Settings
from .store import Store
from .table import Results

__all__ = ["MAIN", "METHODS", "Corpus", "Judge", "Results", "Settings", "run"]


def run(
    model: Any,
    tokenizer: Any,
    corpus: Corpus | str | os.PathLike[str],
    layers: Sequence[int],
    out: str | os.PathLike[str],
    *,
    methods: Sequence[str] | None = None,
    texts_of: Sequence[str] = MAIN,
    seeds: Sequence[int] = (0, 1, 2),
    settings: Settings | None = None,
    judge: Judge | None = None,
    minutes: float = math.inf,
    progress: Callable[[str], None] | None = None,
) -> Results:
    """Steers a model towards each concept of a corpus with the directions of several methods.

    Every result is kept as a line in `out` as soon as it is there. The same call goes on where an earlier one stopped.

    Parameters
    ----------
    model : transformers.PreTrainedModel or nnsight.LanguageModel
        A causal language model. It is left as it was.
    tokenizer : transformers.PreTrainedTokenizerBase
        Its tokenizer.
    corpus : Corpus or path-like
        Labelled prompts, or a JSONL file of them (see `Corpus.read`).
    layers : sequence of int
        The layers, each of which is steered alone.
    out : path-like
        The folder of the experiment.
    methods : sequence of str, optional
        Names in `METHODS`. All of them unless given.
    texts_of : sequence of str, optional
        The methods whose directions write text, with the first seed.
    seeds : sequence of int, default (0, 1, 2)
        Seeds of the methods that have one. The others run once.
    settings : Settings, optional
        Divergences, and sizes of everything.
    judge : Judge, optional
        A language model that scores the texts. Nothing is sent anywhere unless it is given.
    minutes : float, optional
        Stop before the next concept when this time has passed.
    progress : callable, optional
        Is called with a line of text after each method.

    Returns
    -------
    Results
        The tables of everything in the folder. They are also written there, as `results.md` and `results.json`.

    Raises
    ------
    TypeError
        If the model is of another library.
    ValueError
        If a name or number cannot be meant, or if the folder holds an experiment with other settings.
    OSError
        If the folder cannot be written, or if the judge does not answer. What was computed before is kept.
    """
    from .._transformers import TransformersAdapter
    from .experiment import Experiment

    settings = settings or Settings()
    corpus = corpus if isinstance(corpus, Corpus) else Corpus.read(corpus)
    names = list(METHODS) if methods is None else list(methods)
    unknown = [name for name in (*names, *texts_of) if name not in METHODS]
    if unknown:
        raise ValueError(f"there is no method {', '.join(unknown)}; the methods are {', '.join(METHODS)}")
    if not seeds:
        raise ValueError("no seed is given; give at least one, such as seeds=(0,)")
    adapter = adapt(model, tokenizer)
    if not isinstance(adapter, TransformersAdapter):
        raise TypeError(f"the experiment runs models of transformers and nnsight, and this one is of {adapter.kind}")
    if not layers:
        raise ValueError(f"no layer is given; give some of 0 to {adapter.num_layers - 1}")
    layers = [adapter.check_layer(layer) for layer in layers]
    progress = progress or (lambda _line: None)
    store = Store(out, _header(adapter, corpus, settings))
    with adapter.evaluation():
        end = time.monotonic() + 60 * minutes
        experiment = Experiment(adapter, tokenizer, corpus, settings, store, end, progress)
        for layer in layers:
            experiment.run(layer, names, [name for name in texts_of if name in names], seeds)
    if judge is not None:
        judge_texts(store, judge, progress)
    results = Results.of(store)
    write(results)
    return results


def _header(adapter: Adapter, corpus: Corpus, settings: Settings) -> dict[str, Any]:
    """What all lines of a folder have in common, as JSON."""
    content = json.dumps(dataclasses.asdict(corpus), ensure_ascii=False).encode()
    header = dataclasses.asdict(settings) | {"concepts": corpus.concepts, "lexicon_share": corpus.lexicon_share()}
    model = adapter.describe()
    header |= {"model": model["class"], "weights": model["weights_sha256"][:16]}
    header["corpus"] = hashlib.sha256(content).hexdigest()[:16]
    return json.loads(json.dumps(header))


def _numbers(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    def numbers(text: str) -> tuple[Any, ...]:
        return tuple(kind(part) for part in text.split(","))

    numbers.__name__ = f"list of {kind.__name__}"  # argparse names it in its errors.
    return numbers


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m unmix.experiments.steering", description=__doc__)
    parser.add_argument("--model", help="folder or name of a causal language model, as transformers takes it")
    parser.add_argument("--gguf", metavar="FILE", help="a GGUF file in the model's folder, instead of its own weights")
    precisions = ("float32", "mixed", "as-saved")
    parser.add_argument(
        "--precision",
        choices=precisions,
        default="float32",
        help="mixed: linear layers in bfloat16, the residual stream in float32",
    )
    parser.add_argument("--corpus", type=Path, metavar="FILE", help='JSONL with "text" and "concept"')
    parser.add_argument(
        "--neutral", default="neutral", metavar="LABEL", help="label of the prompts that are about no concept"
    )
    parser.add_argument("--layers", type=_numbers(int), metavar="L,L", help="such as 12,20")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder of the experiment; one that exists goes on"
    )
    parser.add_argument("--methods", type=_numbers(str), metavar="M,M", help="all unless given: " + ", ".join(METHODS))
    parser.add_argument("--texts-of", type=_numbers(str), default=MAIN, metavar="M,M", help="methods that write text")
    parser.add_argument("--seeds", type=_numbers(int), default=(0, 1, 2), metavar="S,S")
    for field in dataclasses.fields(Settings):
        kind = int if isinstance(field.default, int) else _numbers(float)
        name = "--" + field.name.replace("_", "-")
        parser.add_argument(
            name, type=kind, default=field.default, metavar="N" if kind is int else "KL,KL", help=field.metadata["help"]
        )
    parser.add_argument("--threads", type=int, metavar="N", help="threads of PyTorch")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, metavar="N", help="stop after this time; the same command goes on"
    )
    parser.add_argument(
        "--judge",
        metavar="URL",
        help=f"address of a judge, such as http://localhost:8000/v1; its key is read from {KEY_VARIABLE}",
    )
    parser.add_argument("--judge-model", metavar="NAME", help="name of the judge's model")
    parser.add_argument("--table", action="store_true", help="only write the tables of the lines that are there")
    parsed = parser.parse_args(arguments)
    missing = [f"--{name}" for name in ("model", "corpus", "layers") if getattr(parsed, name) is None]
    if missing and not parsed.table:
        parser.error(f"{', '.join(missing)} must be given, unless --table is")
    if (parsed.judge is None) != (parsed.judge_model is None):
        parser.error("--judge and --judge-model go together")
    return parsed


def _load(name: str, gguf: str | None, precision: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from .forward import mixed_precision

    source = {"gguf_file": gguf} if gguf else {}
    tokenizer = AutoTokenizer.from_pretrained(name, **source)
    kind = "auto" if precision == "as-saved" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(name, dtype=kind, **source)
    return mixed_precision(model) if precision == "mixed" else model, tokenizer


def _run(options: argparse.Namespace) -> Results:
    if options.table:
        results = Results.of(Store(options.out))
        write(results)
        return results
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    corpus = Corpus.read(options.corpus, options.neutral)
    settings = Settings(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Settings)})
    judge = Judge(options.judge, options.judge_model) if options.judge else None
    model, tokenizer = _load(options.model, options.gguf, options.precision)
    return run(
        model,
        tokenizer,
        corpus,
        options.layers,
        options.out,
        methods=options.methods,
        texts_of=options.texts_of,
        seeds=options.seeds,
        settings=settings,
        judge=judge,
        minutes=options.minutes,
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m unmix.experiments.steering`."""
    options = _arguments(arguments)
    try:
        results = _run(options)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(page(results), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
