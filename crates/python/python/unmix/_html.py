"""Parts of what notebooks show. Nothing needs a script, all text is escaped, and colours work in light and dark themes."""

from __future__ import annotations

import html

# Colours are laid over what is there with some transparency, and text keeps the colour of the notebook. So the same rules
# are readable in light and dark themes.
STYLE = """
.unmix { color: inherit; font-size: 13px; line-height: 1.45; max-width: 100%; overflow-x: auto; }
.unmix table.unmix-table { border-collapse: collapse; border: none; margin: 0 0 6px; table-layout: auto; }
.unmix .unmix-table th, .unmix .unmix-table td { background: transparent; border: none; padding: 5px 14px 5px 0; vertical-align: top;
  text-align: left; white-space: nowrap; color: inherit; }
.unmix .unmix-table tr { background: transparent; border-bottom: 1px solid rgba(128, 128, 128, 0.28); }
.unmix .unmix-table th { font-weight: 600; opacity: 0.72; border-bottom: 1px solid rgba(128, 128, 128, 0.6); }
.unmix .unmix-table td.unmix-text { white-space: normal; min-width: 12em; max-width: 60em; }
.unmix .unmix-number { font-variant-numeric: tabular-nums; }
.unmix .unmix-context { margin: 1px 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.unmix .unmix-soft { opacity: 0.72; margin: 2px 0; }
.unmix .unmix-doubt { border-bottom: 2px dotted #d9822b; cursor: help; }
.unmix .unmix-meter { display: inline-block; width: 44px; height: 7px; margin-right: 7px; border-radius: 2px;
  background: rgba(128, 128, 128, 0.22); overflow: hidden; }
.unmix .unmix-meter > span { display: block; height: 100%; background: #3d8bd4; }
.unmix .unmix-card { padding: 2px 0 4px; }
.unmix .unmix-card > div { margin: 3px 0; }
.unmix .unmix-card .unmix-number { opacity: 0.72; }
.unmix .unmix-up { color: inherit; background: rgba(46, 160, 90, 0.26); border-radius: 2px; padding: 0 3px; white-space: pre; }
.unmix .unmix-down { color: inherit; background: rgba(214, 80, 80, 0.24); border-radius: 2px; padding: 0 3px; white-space: pre; }
"""

#: Opacity of the shade at the strongest token.
DARKEST = 0.62


def escape(text: str) -> str:
    """The text as HTML, without line breaks or marks that would disturb the lines around it."""
    return html.escape("".join(" " if _disturbs(c) else c for c in text.replace("\n", "⏎")), quote=True)


def _disturbs(c: str) -> bool:
    return (
        ord(c) < 32
        or ord(c) == 127
        or c in "\u2028\u2029\u061c\u200e\u200f"
        or "\u202a" <= c <= "\u202e"
        or "\u2066" <= c <= "\u2069"
    )


def page(body: str) -> str:
    """A part of a notebook with its style."""
    return f"<div class='unmix'><style>{STYLE}</style>{body}</div>"


def shaded(text: str, strength: float, in_word: bool) -> str:
    """A token, shaded by its strength from 0 to 1. The word that a context is about is bold. Blanks before it have no shade."""
    bare = text.lstrip(" ")
    blanks, shown = " " * (len(text) - len(bare)), escape(bare)
    if in_word:
        shown = f"<b>{shown}</b>"
    if strength <= 0 or not bare:
        return blanks + shown
    opacity = DARKEST * min(strength, 1.0)
    return f"{blanks}<span style='background: rgba(240, 140, 40, {opacity:.2f}); border-radius: 2px' title='{strength:.2f}'>{shown}</span>"


def meter(share: float) -> str:
    """A bar that is filled by a share from 0 to 1."""
    return f"<span class='unmix-meter'><span style='width: {100 * min(max(share, 0.0), 1.0):.0f}%'></span></span>"


def table(titles: list[str], rows: list[list[str]], text_columns: tuple[int, ...] = ()) -> str:
    """A table of cells that are HTML already. ``text_columns`` may break over several lines."""
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)

    def cell(column: int, content: str) -> str:
        kind = "unmix-text" if column in text_columns else "unmix-number"
        return f"<td class='{kind}'>{content}</td>"

    body = "".join("<tr>" + "".join(cell(i, content) for i, content in enumerate(row)) + "</tr>" for row in rows)
    return f"<table class='unmix-table'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def soft(line: str) -> str:
    """A line below a table."""
    return f"<div class='unmix-soft'>{escape(line)}</div>"
