"""Which features detect which concepts, on labelled prompts."""

from __future__ import annotations

import json
import numbers
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import _log, _unmix
from ._arguments import U64, whole
from ._optional import needed
from ._result import Result
from ._terminal import number

if TYPE_CHECKING:
    import pandas


class ConceptTable(Result):
    """How well features detect concepts. All choices were made on one half of the prompts and scored on the other.

    It comes from :meth:`unmix.Fit.concepts`. ``to_dict()`` also has the scores of each feature, the pairs beyond chance,
    and what shuffled labels give.

    Examples
    --------
    >>> table = fit.concepts(labels, permutations=0)
    >>> int(table.to_pandas().loc["months", "prompts"]) > 1
    True
    """

    @property
    def summary(self) -> dict[str, Any]:
        """Means over features and concepts: ``alive``, ``detects``, ``s_cd_median``, ``auc_mean``, ``purity_mean`` and others."""
        return dict(self._value["summary"])

    @property
    def detected(self) -> list[tuple[int, str]]:
        """The pairs of a feature and a concept that are beyond chance, the clearest of a feature first."""
        return [(pair["feature"], pair["concept"]) for pair in self._value["detected"]]

    def of_features(self) -> pandas.DataFrame:
        """A row for each feature, with the concept that it is about.

        Returns
        -------
        pandas.DataFrame
            Columns ``dead``, ``best_concept``, ``auc``, ``s_cd``, ``corrected_p_value`` and, on the tokens of the fit,
            ``purity``, ``token_purity`` and ``either``; indexed by the number of the feature.
        """
        pandas = needed("pandas", "tables")

        return pandas.DataFrame(self._value["features"]).set_index("feature")

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each concept, with the feature that detects it best.

        Returns
        -------
        pandas.DataFrame
            Columns ``prompts``, ``best_feature``, ``auc``, ``corrected_p_value``, ``s_cd``, ``supervised_auc`` and
            ``supervised_s_cd``; indexed by the name of the concept.
        """
        pandas = needed("pandas", "tables")

        def row(concept: dict[str, Any]) -> dict[str, Any]:
            supervised = concept["diff_means"] or {}
            names = ("concept", "prompts", "best_feature", "auc", "corrected_p_value", "s_cd")
            scores = {f"supervised_{name}": supervised.get(name) for name in ("auc", "s_cd")}
            return {name: concept[name] for name in names} | scores

        table = pandas.DataFrame([row(concept) for concept in self._value["concepts"]])
        # A concept that could not be scored has no feature.
        return table.astype({"best_feature": "Int64"}).set_index("concept")

    def _titles(self) -> list[str]:
        return ["concept", ">prompts", ">feature", ">AUC", ">p", ">S_CD", ">supervised AUC"]

    def _rows(self) -> list[list[str]]:
        best_first = sorted(
            self._value["concepts"],
            key=lambda concept: -1.0 if concept["auc"] is None else concept["auc"],
            reverse=True,
        )
        return [
            [
                concept["concept"],
                str(concept["prompts"]),
                "-" if concept["best_feature"] is None else str(concept["best_feature"]),
                *(number(concept[name]) for name in ("auc", "corrected_p_value", "s_cd")),
                number((concept["diff_means"] or {}).get("auc")),
            ]
            for concept in best_first
        ]

    def _notes(self) -> list[str]:
        value, summary, baseline = self._value, self._value["summary"], self._value["baseline"]
        chance = f"; {baseline['auc_mean']['mean']:.3f} by chance" if baseline else ""
        choosing, prompts = value["choosing_prompts"], value["prompts"]
        neutral = value["neutral_prompts"]
        notes = [
            f"Mean AUC of concepts {number(summary['auc_mean'])}{chance}; of supervised directions "
            f"{number(summary['diff_means_auc_mean'])}.",
            f"Chosen on {choosing} prompts, scored on {prompts - choosing}; "
            + (
                f"{neutral} of them are neutral."
                if neutral
                else "none is neutral, so all other concepts take their place."
            ),
        ]
        if baseline:
            features, concepts = ({pair[name] for pair in value["detected"]} for name in ("feature", "concept"))
            notes.append(
                f"Beyond chance (p of at most {value['beyond_chance']}): {len(value['detected'])} pairs, of {len(features)} features and "
                f"{len(concepts)} concepts."
            )
        if value["labels_by"] == "order":
            notes.append("The labels have no ids: the first is taken for prompt 0, the next for prompt 1, and so on.")
        if not value["fitted_tokens"]:
            notes.append("No purity: these are not the tokens of the fit, so their coefficients are not known.")
        return notes


def read_labels(labels: Any) -> _unmix.Labels:
    """Labels of prompts from whatever a user has.

    Parameters
    ----------
    labels : a path of JSON, JSON lines or CSV; a list of concepts or of dicts with ``concept`` and, optionally, ``id``,
        ``parent`` and ``split``; a dict from the number of a prompt to its concept; or a DataFrame with such columns.

    Raises
    ------
    TypeError
        If the labels are none of these.
    ValueError
        If a label has no concept, or ids do not make sense.
    """
    if isinstance(labels, (str, os.PathLike)):
        return _unmix.Labels(path=os.fspath(labels))
    if isinstance(labels, Mapping):
        labels = [{"id": prompt, "concept": concept} for prompt, concept in labels.items()]
    elif hasattr(labels, "to_dict") and hasattr(labels, "columns"):
        rows = labels.to_dict("records")
        # Missing values of pandas are NaN, which JSON does not have.
        labels = [{name: value for name, value in row.items() if value is not None and value == value} for row in rows]
    if not isinstance(labels, (list, tuple)):
        raise TypeError(
            f"labels is a {type(labels).__name__}; expected a path, a list of concepts or of dicts with `concept`, a dict from "
            "prompt to concept, or a DataFrame"
        )
    for place, label in enumerate(labels):
        concept = label.get("concept") if isinstance(label, Mapping) else label
        if isinstance(concept, numbers.Number):
            raise ValueError(
                f"labels: entry {place} is the number {concept!r}; a label is the name of a concept: give a string"
            )
    return _unmix.Labels(content=json.dumps(list(labels), default=_plain))


def _plain(value: Any) -> Any:
    """A number of numpy as one of Python."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"labels: {value!r} is neither a number nor a text")


def scoring(
    activations: Any, neutral: str, level: str, purity_tokens: int, permutations: int, random_state: int
) -> dict[str, Any]:
    """How concepts are scored, for the native module."""
    from .activations import as_activations

    return {
        "activations": None if activations is None else as_activations(activations)._native,
        "neutral": neutral,
        "level": level,
        "purity_tokens": whole("purity_tokens", purity_tokens),
        "permutations": whole("permutations", permutations),
        "seed": whole("random_state", random_state, most=U64),
    }


def concepts(text: _unmix.Text, labels: Any, options: dict[str, Any]) -> ConceptTable:
    """How well features detect concepts; see :meth:`unmix.Fit.concepts`."""
    with _log.forwarded():
        return ConceptTable(json.loads(_unmix.concepts(text, read_labels(labels), options)))
