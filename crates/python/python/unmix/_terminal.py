"""Results as text: what ``print`` and the prompt show."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterable, Sequence


def terminal_width() -> int:
    """Columns that a line may have."""
    return min(max(shutil.get_terminal_size((110, 24)).columns, 60), 160)


def one_line(text: str) -> str:
    """The text on one line, without anything that could disturb a terminal."""
    return "".join(
        "⏎" if c == "\n" else " " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} or _turns(c) else c for c in text
    )


def _turns(c: str) -> bool:
    return c in "\u061c\u200e\u200f" or "\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069"


def fitted(line: str, width: int) -> str:
    """The line, cut to ``width`` columns."""
    line = one_line(line)
    return line if len(line) <= width else line[: width - 1] + "…"


def marked(before: str, word: str, after: str) -> str:
    """A text with marks around the word that it is about."""
    stripped = word.strip()
    lead = word[: len(word) - len(word.lstrip())]
    return one_line(f"{before}{lead}«{stripped}»{word[len(lead) + len(stripped) :]}{after}".strip())


def joined(words: Iterable[object]) -> str:
    """Words in a row."""
    return " · ".join(str(word) for word in words)


def percent(share: float) -> str:
    """``12.3%``, with two decimals below one percent."""
    value = 100 * share
    if value == 0 or abs(value) >= 0.995:
        return f"{value:.1f}%"
    return "<0.01%" if abs(value) < 0.005 else f"{value:.2f}%"


def number(value: float | None, digits: int = 3) -> str:
    """A number, or a dash if it is not known."""
    return "-" if value is None else f"{value:.{digits}f}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of aligned columns. Columns whose title begins with ``>`` are aligned to the right."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    right = [title.startswith(">") for title in titles]
    lines = [[title.lstrip(">") for title in titles], *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if r else cell.ljust(width) for cell, width, r in zip(cells, widths, right, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join(fitted(line(cells), terminal_width()) for cells in lines)
