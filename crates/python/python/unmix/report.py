"""The report: everything about the features of a fit on one page."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from . import _html, _log, _unmix
from ._arguments import path


class Report:
    """The page that :meth:`unmix.Fit.report` wrote.

    Attributes
    ----------
    path : pathlib.Path
        The file. It needs no network and no other file.
    warnings : list of dict
        What a reader should look at first: ``text``, ``advice`` and ``features``.

    Examples
    --------
    >>> report = fit.report("page.html", ranks=[2])
    >>> report.path.exists(), report.to_dict()["features"] == fit.n_components
    (True, True)
    """

    def __init__(self, value: dict[str, Any]) -> None:
        self._value = value
        self.path = pathlib.Path(value["path"])
        self.warnings: list[dict[str, Any]] = value["warnings"]

    def to_dict(self) -> dict[str, Any]:
        """What is on the page, as plain dictionaries, lists, numbers and strings."""
        return json.loads(json.dumps(self._value))

    def open(self) -> None:
        """Open the page in a browser."""
        import webbrowser

        webbrowser.open(self.path.absolute().as_uri())

    def _facts(self) -> list[str]:
        value = self._value
        features = value["features"]
        words = (
            "in contexts"
            if value["words_from"] in ("tokens", "vocabulary")
            else "not known; fit.with_tokenizer(tokenizer) gives them"
        )
        promoted = (
            f"beyond chance for {value['promoting']} of {features} features"
            if value["lens"]
            else "not shown; model= gives the weights"
        )
        concepts = (
            f"one stands beside {value['named']} of {features} features"
            if value["concepts"]
            else "not shown; labels= gives them"
        )
        facts = [f"words: {words}", f"promoted tokens: {promoted}", f"concepts: {concepts}"]
        if value["beside"]:
            facts.append(
                f"beside: another fit, mean {value['beside']['matched_by']} {value['beside']['stability']:.2f}"
            )
        facts.extend(f"warning: {warning['text']}. {warning['advice']}".strip() for warning in self.warnings)
        return facts

    def __repr__(self) -> str:
        return "\n".join(
            [
                f"<unmix report of {self._value['features']} features: {self.path}>",
                *(f"  {fact}" for fact in self._facts()),
            ]
        )

    def _repr_html_(self) -> str:
        link = f"<a href='{_html.escape(self.path.as_posix())}' target='_blank'>{_html.escape(str(self.path))}</a>"
        size = f"{self._value['bytes'] / 1e6:.1f} MB"
        return _html.page(f"<div>Report: {link} ({size})</div>" + "".join(map(_html.soft, self._facts())))


def report(text: _unmix.Text, request: dict[str, Any]) -> Report:
    """Write a report; see :meth:`unmix.Fit.report`."""
    from ._advice import in_python

    with _log.forwarded():
        value = json.loads(_unmix.report(text, {**request, "path": path("path", request["path"])}))
    value["warnings"] = [warning | {"advice": in_python(warning["advice"])} for warning in value["warnings"]]
    return Report(value)
