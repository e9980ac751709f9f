"""How much fits have in common."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from . import _unmix
from ._optional import needed
from ._result import Result
from ._terminal import joined

if TYPE_CHECKING:
    import pandas


class Comparison(Result):
    """How the features of other fits match those of a first one, one to one.

    It comes from :meth:`unmix.Fit.compare`.

    Examples
    --------
    >>> fit.compare(fit).found_again == [fit.n_components]
    True
    """

    def __init__(self, value: dict[str, Any]) -> None:
        super().__init__(value)
        self._fits: list[dict[str, Any]] = value["compared_with"]

    @property
    def stability(self) -> list[float]:
        """For each other fit, the mean similarity of the features with their counterparts, from 0 to 1."""
        return [fit["stability"] for fit in self._fits]

    @property
    def found_again(self) -> list[int]:
        """For each other fit, the number of features that have a counterpart so similar that it is the same."""
        return [fit["found_again"] for fit in self._fits]

    def pairs(self, other: int = 0) -> list[tuple[int, int, float]]:
        """The pairs of a feature of the first fit and one of another, most similar first, each with its similarity.

        Parameters
        ----------
        other : int
            Which of the other fits, from 0.

        Raises
        ------
        IndexError
            If there is no such fit.
        """
        fit = self._fits[other]
        return [(pair["first"], pair["second"], pair[fit["compared_by"]]) for pair in fit["pairs"]]

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each pair: ``fit``, ``first``, ``second``, ``similarity``, and the words of both if they are known."""
        pandas = needed("pandas", "tables")

        rows = []
        for fit in self._fits:
            for pair in fit["pairs"]:
                row = {
                    "fit": fit["fit"],
                    "first": pair["first"],
                    "second": pair["second"],
                    "similarity": pair[fit["compared_by"]],
                }
                words = {
                    name: joined(word["name"] for word in pair[name])
                    for name in ("first_words", "second_words")
                    if name in pair
                }
                rows.append(row | words)
        return pandas.DataFrame(rows, columns=None if rows else ["fit", "first", "second", "similarity"])

    def _titles(self) -> list[str]:
        return ["fit", ">features", ">error", ">mean", ">median", ">by chance", ">found again", "compared by"]

    def _rows(self) -> list[list[str]]:
        first = self._value
        own = [first["fit"], str(first["n_components"]), f"{first['relative_error']:.4f}", "", "", "", "", ""]

        def row(fit: dict[str, Any]) -> list[str]:
            means = [f"{value:.3f}" for value in (fit["stability"], fit["median"], fit["chance"]["stability"])]
            found = f"{fit['found_again']} of {fit['possible']}"
            return [
                fit["fit"],
                str(fit["n_components"]),
                f"{fit['relative_error']:.4f}",
                *means,
                found,
                fit["compared_by"],
            ]

        return [own, *map(row, self._fits)]

    def _notes(self) -> list[str]:
        return [f"{fit['fit']}: {fit['verdict']}" for fit in self._fits]


def compare(
    fits: list[tuple[str, Any]], by: str | None, page: str | os.PathLike[str] | None, force: bool
) -> Comparison:
    """How much fits have in common; see :meth:`unmix.Fit.compare`. ``fits`` are named, and the first one comes first."""
    (name, first), others = fits[0], fits[1:]
    texts = [fit._text for _, fit in fits]
    found = json.loads(_unmix.compare(first._text, texts[1:], by))
    value = {
        "fit": name,
        "relative_error": first.run["relative_error"],
        "n_components": first.n_components,
        "compared_with": [{"fit": other} | comparison for (other, _), comparison in zip(others, found, strict=True)],
    }
    if page is not None:
        _unmix.links_page(texts, [name for name, _ in fits], by, os.fspath(page), force)
    return Comparison(value)


def unique(names: list[str]) -> list[str]:
    """Names of fits, with a number where several are equal."""
    return [
        f"{name} ({names[:place].count(name) + 1})" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]
