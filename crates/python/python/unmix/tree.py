"""How the features of a fit nest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import _html, _unmix
from ._arguments import whole, wholes
from ._optional import needed
from ._terminal import fitted, joined, percent, terminal_width

if TYPE_CHECKING:
    import pandas

#: Most words that stand for a feature.
WORDS = 6


class FeatureTree:
    """Levels of ever fewer features above those of a fit. The features of each level are the parents of those below.

    It comes from :meth:`unmix.Fit.tree`.

    Examples
    --------
    >>> tree = fit.tree([4])
    >>> len(tree.to_pandas()) == sum(len(tree.children(1, node)) for node in range(4))
    True
    """

    def __init__(self, value: dict[str, Any]) -> None:
        self._value = value

    @property
    def ranks(self) -> list[int]:
        """Number of features of each level above the fit's, first to last."""
        return [len(level["nodes"]) for level in self._value["levels"]]

    def children(self, level: int, node: int) -> list[tuple[int, float]]:
        """The features below a parent, strongest first, each with its strength.

        Parameters
        ----------
        level : int
            From 1. The features of the fit are level 0.
        node : int
            Number of the feature in that level, from 0.

        Returns
        -------
        list of (int, float)
            Number in the level below, and how much of the child the parent makes up, from 0 to 1.

        Raises
        ------
        IndexError
            If there is no such level or feature.
        """
        if not 1 <= level <= len(self.ranks) or not 0 <= node < self.ranks[level - 1]:
            raise IndexError(
                f"there is no feature {node} in level {level}: the levels 1 to {len(self.ranks)} have {self.ranks} features"
            )
        return [
            (child["feature"], child["strength"])
            for child in self._value["levels"][level - 1]["nodes"][node]["children"]
        ]

    def to_dict(self) -> dict[str, Any]:
        """The tree as plain dictionaries, lists, numbers and strings, as ``unmix tree --json`` has it."""
        return json.loads(json.dumps(self._value))

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each pair of a parent and a child: ``level``, ``node``, ``child``, ``strength``, ``words``, ``child_words``."""
        pandas = needed("pandas", "tables")

        rows = [
            {
                "level": level["level"],
                "node": node["node"],
                "child": child["feature"],
                "strength": child["strength"],
                "words": _words(node),
                "child_words": _words(self._below(level["level"], child["feature"])),
            }
            for level in self._value["levels"]
            for node in level["nodes"]
            for child in node["children"]
        ]
        return pandas.DataFrame(rows, columns=["level", "node", "child", "strength", "words", "child_words"])

    def _below(self, level: int, child: int) -> dict[str, Any]:
        return self._value["features"][child] if level == 1 else self._value["levels"][level - 2]["nodes"][child]

    def _parents(self, level: dict[str, Any]) -> list[dict[str, Any]]:
        parents = [node for node in level["nodes"] if node["children"]]
        return sorted(parents, key=lambda node: len(node["children"]), reverse=True)

    def _title(self, level: dict[str, Any]) -> str:
        return f"Level {level['level']}: {len(level['nodes'])} features, {percent(1 - level['relative_error'])} of those below explained"

    def _child(self, level: int, child: dict[str, Any]) -> str:
        number = child["feature"]
        return f"#{number}" if level == 1 else f"{level - 1}.{number}"

    def __repr__(self) -> str:
        lines = []
        for level in reversed(self._value["levels"]):
            lines.append(self._title(level))
            for node in self._parents(level):
                lines.append(f"{level['level']}.{node['node']}  {_words(node)}")
                for child in node["children"]:
                    words = _words(self._below(level["level"], child["feature"]))
                    lines.append(f"  {self._child(level['level'], child):>6} {child['strength']:.2f}  {words}")
        return "\n".join(fitted(line, terminal_width()) for line in lines)

    def _repr_html_(self) -> str:
        parts = []
        for level in reversed(self._value["levels"]):
            rows = []
            for node in self._parents(level):
                children = "".join(
                    f"<div><span class='unmix-number'>{self._child(level['level'], child)}</span> "
                    f"{_html.meter(child['strength'])}{_html.escape(_words(self._below(level['level'], child['feature'])))}</div>"
                    for child in node["children"]
                )
                rows.append([f"{level['level']}.{node['node']}", f"<b>{_html.escape(_words(node))}</b>", children])
            parts.append(f"<div><b>{_html.escape(self._title(level))}</b></div>")
            parts.append(
                _html.table(
                    ["#", "words where its children are active together", "children, and how much it makes up of each"],
                    rows,
                    (1, 2),
                )
            )
        return _html.page("".join(parts))


def _words(node: dict[str, Any]) -> str:
    return joined(word["name"] for word in node["words"][:WORDS])


def tree(text: _unmix.Text, ranks: list[int] | None, threshold: float, most_children: int) -> FeatureTree:
    """How features nest; see :meth:`unmix.Fit.tree`."""
    return FeatureTree(json.loads(_unmix.tree(text, levels(ranks, threshold, most_children))))


def levels(ranks: list[int] | None, threshold: float, most_children: int) -> dict[str, Any]:
    """Options of the levels, for the native module."""
    return {
        "ranks": None if ranks is None else wholes("ranks", ranks),
        "threshold": threshold,
        "most_children": whole("most_children", most_children),
    }
