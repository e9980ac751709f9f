"""Files of a fit for other tools."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from . import _html, _unmix
from ._arguments import optional_whole, path
from ._arguments import text as string
from ._warnings import warn


class Export:
    """The folder that :meth:`unmix.Fit.export` wrote.

    Attributes
    ----------
    tool : str
        The tool.
    path : pathlib.Path
        The folder.
    files : list of pathlib.Path
        The files in it.
    usage : str
        Lines of Python that open the folder with the tool.

    Examples
    --------
    >>> [file.name for file in fit.export("saelens", "a-sae", architecture="matching-pursuit").files]
    ['sae_weights.safetensors', 'cfg.json']
    """

    def __init__(self, value: dict[str, Any]) -> None:
        self._value = value
        self.tool: str = value["tool"]
        self.path = pathlib.Path(value["path"])
        self.files = [self.path / file["name"] for file in value["files"]]
        self.usage: str = value["usage"]

    def to_dict(self) -> dict[str, Any]:
        """What was written, as plain dictionaries, lists, numbers and strings."""
        return json.loads(json.dumps(self._value))

    def _about_encoder(self) -> list[str]:
        encoder = self._value["encoder"]
        if encoder is None:
            return []
        if not encoder["fitted"]:
            return [
                "The encoder is the pseudo-inverse of the features, since the activations were not at hand: its error is not known."
            ]
        return [
            f"Relative error of the affine encoder {encoder['relative_error']:.4f}, of the fit {encoder['fit_relative_error']:.4f}; "
            f"features active a token {encoder['mean_active']:.1f} and {encoder['fit_mean_active']:.1f}."
        ]

    def __repr__(self) -> str:
        files = ", ".join(file.name for file in self.files)
        return "\n".join(
            [f"<unmix export for {self.tool}: {self.path} ({files})>", *self._about_encoder(), "", self.usage.rstrip()]
        )

    def _repr_html_(self) -> str:
        files = _html.escape(", ".join(file.name for file in self.files))
        usage = "<br>".join(_html.escape(line) for line in self.usage.rstrip().splitlines())
        about = "".join(map(_html.soft, self._about_encoder()))
        return _html.page(
            f"<div>For {self.tool}: <b>{_html.escape(str(self.path))}</b> ({files})</div>{about}<div><code>{usage}</code></div>"
        )


def export(text: _unmix.Text, request: dict[str, Any]) -> Export:
    """Write files for a tool; see :meth:`unmix.Fit.export`."""
    checked = {
        "tool": string("tool", request["tool"]),
        "path": path("path", request["path"]),
        "splits": optional_whole("splits", request["splits"]),
        "padding": optional_whole("padding", request["padding"]),
    }
    value = json.loads(_unmix.export(text, {**request, **checked}))
    if value["without_activations"]:
        warn(
            f"{value['without_activations']}. Without them the encoder is the pseudo-inverse of the features, which is further from "
            "the fit than one fitted to activations; give them with activations=",
        )
    return Export(value)
