"""The results of an experiment as Markdown."""

from __future__ import annotations

import json
from typing import Any

from .bootstrap import Interval
from .store import write_whole
from .table import Results


def write(results: Results) -> None:
    """Writes `results.json` and `results.md` in the experiment's folder."""
    settings, folder = results.store.settings, results.store.folder
    whole = {"settings": settings, "scores": results.rows, "texts": results.texts, "good_features": results.good}
    write_whole(folder / "results.json", json.dumps(whole | {"unfinished": results.unfinished}, indent=1) + "\n")
    write_whole(folder / "results.md", page(results))


def page(results: Results) -> str:
    """All tables, with a sentence each on what they show."""
    parts = [_scores(results), _differences(results), _texts(results), _good(results)]
    if results.unfinished:
        parts.append("Not in the tables, because concepts are missing: " + "; ".join(results.unfinished) + ".")
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: list[str], body: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _interval(values: dict[str, float] | None) -> str:
    return str(Interval(**values)) if values else ""


def _where(layer: int | None) -> str:
    return "mean" if layer is None else f"L{layer}"


def _by_target(results: Results, column: str) -> str:
    targets = results.store.settings["targets"]
    found: dict[tuple[Any, str], dict[float, dict[str, Any]]] = {}
    for row in results.rows:
        if column in row:
            found.setdefault((row["layer"], row["method"]), {})[row["target"]] = row
    body = []
    for (layer, method), by_target in sorted(found.items(), key=lambda item: (item[0][0] is not None, item[0][0] or 0)):
        any_row = next(iter(by_target.values()))
        cells = [_where(layer), method, str(any_row["seeds"]), f"{any_row['auc_held_out']:.2f}"]
        body.append(
            cells
            + [
                _interval(by_target[target][column]) + ("" if by_target[target]["reached"] == 1 else "*")
                for target in targets
            ]
        )
    return _table(["layer", "method", "seeds", "AUC", *(f"KL {target:g}" for target in targets)], body) if body else ""


def _scores(results: Results) -> str:
    table = _by_target(results, "score")
    about = """## Concept score

The rise of the mean log-probability of held-out prompts of the concept, less that of other concepts' prompts, in nats
a token. Brackets are 95% intervals over concepts, prompts and seeds. AUC is how well the direction tells held-out
prompts of the concept from others. An asterisk says that some directions do not reach the divergence. The seeds of a
mean are those that every layer has at least.

"""
    return about + table if table else "No method is complete yet."


def _differences(results: Results) -> str:
    table = _by_target(results, "less_baseline")
    return (
        f"## Less DiffMeans of the neurons\n\nThe same concepts and prompts are drawn for both.\n\n{table}"
        if table
        else ""
    )


def _texts(results: Results) -> str:
    if not results.texts:
        return ""
    judged = any("judge" in row for row in results.texts)
    head = [
        "method",
        "KL",
        "layers",
        "words of the lexicon",
        "concept",
        "perplexity",
        "distinct-2",
        "fluency",
        "harmonic mean",
    ]
    body = []
    for row in results.texts:
        cells = [
            row["method"],
            f"{row['target']:g}",
            ", ".join(map(str, row["layers"])),
            _interval(row["lexicon_interval"]),
            f"{row['concept']:.2f}",
        ]
        cells += [
            f"{row['perplexity']:.1f}",
            f"{row['distinct_2']:.2f}",
            f"{row['fluency']:.2f}",
            _interval(row["harmonic"]),
        ]
        if judged:
            opinion = row.get("judge")
            cells += (
                [f"{opinion['concept']:.2f}", f"{opinion['fluency']:.2f}", _interval(opinion["harmonic"])]
                if opinion
                else [""] * 3
            )
        body.append(cells)
    judge = ["judge: concept", "judge: fluency", "judge: harmonic mean"] if judged else []
    share = results.store.settings["lexicon_share"]
    about = f"""## Texts

*Concept* is the share of words that belong to the concept's lexicon, over that of held-out prompts of the concepts
({share:.1%}), at most 1. *Fluency* is the perplexity of unsteered texts over that of the steered ones, at most 1, times
the same of distinct-2. Perplexity is that of the unsteered model.

"""
    return about + _table(head + judge, body)


def _good(results: Results) -> str:
    if not results.good:
        return ""
    body = []
    for row in results.good:
        cells = [
            row["method"],
            f"{row['target']:g}",
            f"{row['features']} of {row['concepts']}",
            f"{row['score']:.3f}",
            f"{row['baseline']:.3f}",
        ]
        body.append([*cells, _interval(row["less_baseline"])])
    about = """## Where a concept has a good feature

Features that tell held-out prompts of their concept from others with an AUC of at least 0.9, and DiffMeans of the
neurons for the same concepts and layers. Intervals are over the concepts, because features of one concept in several
layers and seeds are not independent.

"""
    return about + _table(["method", "KL", "features of concepts", "score", "diffmeans-neurons", "difference"], body)
