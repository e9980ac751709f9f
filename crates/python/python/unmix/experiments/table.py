"""The table of an experiment, from its stored lines."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .bootstrap import Interval, resampled_group_means, resampled_means
from .store import JUDGED, SCORES, TEXTS, Store

BASELINE = "diffmeans-neurons"
UNSTEERED = "unsteered"
GOOD_AREA = 0.9

Line = dict[str, Any]


class Group:
    """The complete seeds of one method in one layer: lines of every concept."""

    def __init__(self, lines: Sequence[Line], concepts: Sequence[str]) -> None:
        by_seed: dict[int, dict[str, Line]] = collections.defaultdict(dict)
        for line in lines:
            by_seed[line["seed"]][line["concept"]] = line
        self.seeds = sorted(seed for seed, found in by_seed.items() if len(found) == len(concepts))
        self.unfinished = sorted(set(by_seed) - set(self.seeds))
        self._lines = [[by_seed[seed][concept] for seed in self.seeds] for concept in concepts]

    def values(self, name: str, target: float) -> np.ndarray:
        """A list of each line at a target: [concepts, seeds, entries]. Longer lists are cut to the shortest."""
        lists = [[_step(line, target)[name] for line in of_concept] for of_concept in self._lines]
        shortest = min(len(values) for of_concept in lists for values in of_concept)
        return np.array([[values[:shortest] for values in of_concept] for of_concept in lists], float)

    def each(self, name: str) -> np.ndarray:
        """A number of each line: [concepts, seeds]."""
        return np.array([[line[name] for line in of_concept] for of_concept in self._lines], float)

    def reached(self, target: float) -> float:
        """The share of lines whose divergence is the target."""
        return float(np.mean([_step(line, target)["reached"] for of_concept in self._lines for line in of_concept]))

    def scores(self, target: float) -> np.ndarray:
        """The concept scores [concepts, seeds]."""
        return self.values("own", target).mean(2) - self.values("others", target).mean(2)


def _step(line: Line, target: float) -> Line:
    return next(step for step in line["steps"] if step["target"] == target)


@dataclasses.dataclass
class Results:
    """The results of an experiment.

    Attributes
    ----------
    rows : list of dict
        One for each layer, method and target, and one for the mean of layers (whose `layer` is None): the concept
        score, its 95% interval, and the same of its difference from `diffmeans-neurons`.
    texts : list of dict
        One for each method and target at which text was written, over the layers: shares, perplexity, and their
        harmonic mean.
    good : list of dict
        For each factorization and target, the scores of features that detect their concept with an area of at least
        0.9 on held-out prompts, and those of `diffmeans-neurons` for the same concepts.
    unfinished : list of str
        What is not in the table because concepts are missing.
    """

    store: Store
    rows: list[dict[str, Any]]
    texts: list[dict[str, Any]]
    good: list[dict[str, Any]]
    unfinished: list[str]

    @classmethod
    def of(cls, store: Store) -> Results:
        """Computes the table of the lines in a folder."""
        lines = store.lines(SCORES)
        concepts = store.settings["concepts"]
        groups = _groups(lines, concepts)
        complete = {key: group for key, group in groups.items() if group.seeds}
        unfinished = [
            f"layer {layer}, {method}, seed {seed}"
            for (layer, method), group in groups.items()
            for seed in group.unfinished
        ]
        targets = store.settings["targets"]
        texts = _text_rows(store, concepts)
        return cls(store, _rows(complete, targets), texts, _good(complete, targets), unfinished)


def _groups(lines: Iterable[Line], concepts: Sequence[str]) -> dict[tuple[int, str], Group]:
    by_method: dict[tuple[int, str], list[Line]] = collections.defaultdict(list)
    for line in lines:
        by_method[line["layer"], line["method"]].append(line)
    return {key: Group(found, concepts) for key, found in by_method.items()}


def _rows(groups: dict[tuple[int, str], Group], targets: Sequence[float]) -> list[dict[str, Any]]:
    rows = []
    layers = sorted({layer for layer, _ in groups})
    for target in targets:
        means, draws = {}, {}
        for key, group in groups.items():
            means[key] = group.scores(target).mean()
            draws[key] = resampled_means(group.values("own", target), group.values("others", target))
        for method in dict.fromkeys(method for _, method in groups):
            of = [layer for layer in layers if (layer, method) in groups]
            # A mean of layers is comparable only if it is over all of them.
            for part in [[layer] for layer in of] + ([of] if of == layers and len(of) > 1 else []):
                rows.append(_row(part, method, target, groups, means, draws))
    return rows


def _row(
    part: list[int],
    method: str,
    target: float,
    groups: dict[Any, Group],
    means: dict[Any, float],
    draws: dict[Any, np.ndarray],
) -> dict[str, Any]:
    def average(values: dict[Any, Any], of: str) -> Any:
        return np.mean([values[layer, of] for layer in part], axis=0)

    row: dict[str, Any] = {"layer": part[0] if len(part) == 1 else None, "method": method, "target": target}
    row["seeds"] = min(len(groups[layer, method].seeds) for layer in part)
    row |= {"score": dataclasses.asdict(Interval.of(average(means, method), average(draws, method)))}
    row["reached"] = float(np.mean([groups[layer, method].reached(target) for layer in part]))
    row["auc_held_out"] = float(np.mean([groups[layer, method].each("auc_held_out").mean() for layer in part]))
    if method != BASELINE and all((layer, BASELINE) in groups for layer in part):
        gap = average(means, method) - average(means, BASELINE)
        row["less_baseline"] = dataclasses.asdict(Interval.of(gap, average(draws, method) - average(draws, BASELINE)))
    return row


def _good(groups: dict[tuple[int, str], Group], targets: Sequence[float]) -> list[dict[str, Any]]:
    rows = []
    methods = [method for method in dict.fromkeys(method for _, method in groups) if method.startswith("snmf-")]
    for method in methods:
        layers = [layer for layer, name in groups if name == method and (layer, BASELINE) in groups]
        for target in targets:
            pairs = []
            for layer in layers:
                group = groups[layer, method]
                areas, scores, baseline = (
                    group.each("auc_held_out"),
                    group.scores(target),
                    groups[layer, BASELINE].scores(target),
                )
                pairs += [
                    (scores[place], baseline[place[0], 0], place[0])
                    for place in map(tuple, np.argwhere(areas >= GOOD_AREA))
                ]
            if len(pairs) > 1:
                table = np.array(pairs)
                gaps, concepts = table[:, 0] - table[:, 1], table[:, 2].astype(int)
                row = {"method": method, "target": target, "features": len(table), "score": float(table[:, 0].mean())}
                row["concepts"] = len(np.unique(concepts))
                gap = Interval.of(gaps.mean(), resampled_group_means(gaps, concepts))
                rows.append(row | {"baseline": float(table[:, 1].mean()), "less_baseline": dataclasses.asdict(gap)})
    return rows


def _text_rows(store: Store, concepts: Sequence[str]) -> list[dict[str, Any]]:
    groups = _groups(store.lines(TEXTS), concepts)
    judged = _groups(store.lines(JUDGED), concepts)
    reference = {layer: group for (layer, method), group in groups.items() if method == UNSTEERED and group.seeds}
    rows = []
    for method in dict.fromkeys(method for _, method in groups):
        layers = [
            layer for layer, name in groups if name == method and groups[layer, name].seeds and layer in reference
        ]
        for target in store.settings["generate_at"] if method != UNSTEERED else [0.0]:
            if layers:
                parts = [(groups[layer, method], reference[layer]) for layer in layers]
                row = {"method": method, "target": target, "layers": layers}
                row |= _text_scores(parts, target, store.settings["lexicon_share"])
                opinions = [
                    judged[layer, method]
                    for layer in layers
                    if (layer, method) in judged and judged[layer, method].seeds
                ]
                rows.append(row | (_opinion(opinions, target) if len(opinions) == len(layers) else {}))
    return rows


def _text_scores(parts: Sequence[tuple[Group, Group]], target: float, lexicon_share: float) -> dict[str, Any]:
    """Scores of texts as means of layers, and the interval of their harmonic mean over concepts and texts."""
    names = ("lexicon", "surprise", "distinct_2")
    steered = [[group.values(name, target) for name in names] for group, _ in parts]
    before = [[group.values(name, 0.0).mean() for name in names] for _, group in parts]
    nothing = np.zeros((*steered[0][0].shape[:2], 1))
    means = np.array([[values.mean() for values in layer] for layer in steered])
    draws = np.array([[resampled_means(values, nothing) for values in layer] for layer in steered])

    def combined(lexicon: Any, surprise: Any, distinct: Any, base: Sequence[float]) -> tuple[Any, Any, Any]:
        concept = np.minimum(lexicon / lexicon_share, 1)
        fluency = np.minimum(np.exp(base[1] - surprise), 1) * np.minimum(distinct / max(base[2], 1e-9), 1)
        return concept, fluency, 2 * concept * fluency / np.maximum(concept + fluency, 1e-9)

    whole = [combined(*layer, base) for layer, base in zip(means, before, strict=True)]
    drawn = [combined(*layer, base)[2] for layer, base in zip(draws, before, strict=True)]
    result = dict(
        zip(("concept", "fluency"), (float(np.mean([layer[kind] for layer in whole])) for kind in (0, 1)), strict=True)
    )
    result |= {
        "lexicon": float(means[:, 0].mean()),
        "perplexity": math.exp(means[:, 1].mean()),
        "distinct_2": float(means[:, 2].mean()),
    }
    result["lexicon_interval"] = dataclasses.asdict(Interval.of(means[:, 0].mean(), draws[:, 0].mean(0)))
    harmonic = Interval.of(np.mean([layer[2] for layer in whole]), np.mean(drawn, axis=0))
    return result | {"harmonic": dataclasses.asdict(harmonic)}


def _opinion(groups: Sequence[Group], target: float) -> dict[str, Any]:
    """A judge's scores from 0 to 2, and the mean over texts of their harmonic mean."""
    concept, fluency = (
        np.stack([group.values(name, target) for group in groups]).mean(0) for name in ("concept", "fluency")
    )
    each = [(group.values("concept", target), group.values("fluency", target)) for group in groups]
    harmonic = np.mean([2 * one * other / np.maximum(one + other, 1e-9) for one, other in each], axis=0)
    interval = Interval.of(harmonic.mean(), resampled_means(harmonic, np.zeros((*harmonic.shape[:2], 1))))
    return {
        "judge": {
            "concept": float(concept.mean()),
            "fluency": float(fluency.mean()),
            "harmonic": dataclasses.asdict(interval),
        }
    }
