"""What results have in common: they print as a table, show as a table in a notebook, and become plain data."""

from __future__ import annotations

import abc
import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _html, _terminal

if TYPE_CHECKING:
    import pandas

#: Most rows that are shown at once.
ROWS = 100


class Result(abc.ABC):
    """A result that is a table. Subclasses say what is in it."""

    def __init__(self, value: dict[str, Any]) -> None:
        self._value = value

    def to_dict(self) -> dict[str, Any]:
        """The result as plain dictionaries, lists, numbers and strings. Its ``--json`` has the same names."""
        return copy.deepcopy(self._value)

    @abc.abstractmethod
    def to_pandas(self) -> pandas.DataFrame:
        """The result as a table of pandas."""

    @abc.abstractmethod
    def _titles(self) -> list[str]:
        """Titles of the columns. Those that begin with ``>`` hold numbers."""

    @abc.abstractmethod
    def _rows(self) -> Sequence[Sequence[str]]:
        """Cells of each row."""

    def _notes(self) -> list[str]:
        """Sentences below the table."""
        return []

    def _all_notes(self, rows: int) -> list[str]:
        cut = [f"The first {ROWS} of {rows} rows are shown; .to_pandas() has all."] if rows > ROWS else []
        return [*self._notes(), *cut]

    def __repr__(self) -> str:
        rows = self._rows()
        return "\n".join([_terminal.table(self._titles(), rows[:ROWS]), "", *self._all_notes(len(rows))]).rstrip()

    def _repr_html_(self) -> str:
        titles, rows = self._titles(), self._rows()
        text = tuple(column for column, title in enumerate(titles) if not title.startswith(">"))
        cells = [[_html.escape(cell) for cell in row] for row in rows[:ROWS]]
        table = _html.table([title.lstrip(">") for title in titles], cells, text)
        return _html.page(table + "".join(_html.soft(note) for note in self._all_notes(len(rows))))
