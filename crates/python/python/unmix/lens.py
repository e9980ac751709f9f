"""The logit lens: the tokens that features make a model say."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import _html, _unmix
from ._optional import needed
from ._result import ROWS, Result
from ._terminal import joined

if TYPE_CHECKING:
    import pandas


class LensTable(Result):
    """What features promote and suppress. It has an entry for each feature, and for each single neuron that was asked for.

    It comes from :meth:`unmix.Fit.lens`.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> down, unembedding = random.normal(size=(32, 1536)), random.normal(size=(49152, 32))
    >>> words = [f" word{id}" for id in range(49152)]
    >>> table = fit.lens(down_projection=down, unembedding=unembedding, norm="rms", tokenizer=words, features=[0, 1])
    >>> sorted(table.to_pandas()["direction"].unique())
    ['promoted', 'suppressed']
    """

    def __len__(self) -> int:
        return len(self._entries())

    def __getitem__(self, place: int) -> dict[str, Any]:
        """The entry at a place, as ``to_dict()`` has it: ``feature`` or ``neuron``, ``promoted``, ``suppressed``."""
        return copy.deepcopy(self._entries()[place])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[place] for place in range(len(self)))

    def promoted(self, number: int) -> list[tuple[str, float]]:
        """The tokens that a feature promotes, strongest first, each with its logit above the mean of all tokens.

        Raises
        ------
        KeyError
            If the table does not have the feature.
        """
        return self._tokens(number, "promoted")

    def suppressed(self, number: int) -> list[tuple[str, float]]:
        """The tokens that a feature suppresses, strongest first, each with its logit above the mean of all tokens.

        Raises
        ------
        KeyError
            If the table does not have the feature.
        """
        return self._tokens(number, "suppressed")

    def _tokens(self, number: int, kind: str) -> list[tuple[str, float]]:
        for entry in self._value["features"]:
            if entry["feature"] == number:
                return [(token["text"] or str(token["token_id"]), token["logit"]) for token in entry[kind]]
        raise KeyError(f"feature {number} is not in this table of {len(self._value['features'])} features")

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each token of each list: ``feature`` (or ``neuron``), ``direction``, ``token_id``, ``text``, ``logit``."""
        pandas = needed("pandas", "tables")

        rows: list[dict[str, Any]] = []
        for entry in self._entries():
            name = "feature" if "feature" in entry else "neuron"
            for direction in ("promoted", "suppressed"):
                rows.extend({name: entry[name], "direction": direction} | token for token in entry[direction])
        return pandas.DataFrame(rows).drop(columns="shown", errors="ignore")

    def _entries(self) -> list[dict[str, Any]]:
        return [*self._value["features"], *self._value["neurons"]]

    def _has_words(self) -> bool:
        return any(entry.get("words") for entry in self._entries())

    def _titles(self) -> list[str]:
        return [">#", *(["active at"] if self._has_words() else []), "promotes", "suppresses"]

    def _rows(self) -> list[list[str]]:
        def row(entry: dict[str, Any]) -> list[str]:
            words = [joined(word["name"] for word in entry.get("words") or [])[:60]] if self._has_words() else []
            lists = [" ".join(_shown(token) for token in entry[kind]) for kind in ("promoted", "suppressed")]
            return [_label(entry), *words, *lists]

        return [row(entry) for entry in self._entries()]

    def _notes(self) -> list[str]:
        value = self._value
        padding = f" {value['padding']:,} rows of the unembedding stand for no token." if value["padding"] else ""
        notes = [f"Logits are above the mean of all {value['tokens']:,} tokens.{padding} A dot stands for a blank."]
        if not value["has_vocabulary"]:
            notes.append("Numbers are token ids; a tokenizer shows words.")
        return notes

    def _repr_html_(self) -> str:
        def tokens(entry: dict[str, Any], kind: str, css: str) -> str:
            shown = (
                f"<span class='{css}' title='{token['logit']:+.2f}'>{_html.escape(_shown(token))}</span>"
                for token in entry[kind]
            )
            return " ".join(shown) or "<span class='unmix-soft'>nothing: it is zero</span>"

        rows = []
        for entry in self._entries()[:ROWS]:
            words = (
                [_html.escape(joined(word["name"] for word in entry.get("words") or []))] if self._has_words() else []
            )
            lists = [tokens(entry, "promoted", "unmix-up"), tokens(entry, "suppressed", "unmix-down")]
            rows.append([_html.escape(_label(entry)), *words, *lists])
        titles = [title.lstrip(">") for title in self._titles()]
        table = _html.table(titles, rows, tuple(range(1, len(titles))))
        return _html.page(table + "".join(_html.soft(note) for note in self._all_notes(len(self))))


def _shown(token: dict[str, Any]) -> str:
    """A token, or its id if nothing of it can be seen."""
    is_seen = any(c.isprintable() and not c.isspace() for c in token["shown"])
    return token["shown"] if is_seen else f"[id {token['token_id']}]"


def _label(entry: dict[str, Any]) -> str:
    return str(entry["feature"]) if "feature" in entry else f"neuron {entry['neuron']}"


def lens(
    text: _unmix.Text, weights: _unmix.Weights, features: list[int] | None, neurons: list[int], top: int
) -> LensTable:
    """What features promote and suppress; see :meth:`unmix.Fit.lens`."""
    return LensTable(json.loads(_unmix.lens(text, weights, features, neurons, top)))
