"""The place in the model that the activations of a fit are from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ._adapter import SITES
from ._safetensors_header import metadata
from ._warnings import warn


def origin(run: dict[str, Any]) -> tuple[int | None, str | None]:
    """Layer and site of the activations of a fit, if the files they were in say so, or said so when they were fitted."""
    record = run.get("input", {})
    if known := record.get("origin"):
        return known.get("layer"), known.get("site")
    paths = [record.get("path"), *(file.get("path") for file in record.get("files", []))]
    found = next((metadata(Path(path)) for path in paths if path), {})
    layer = found.get("layer", "")
    return int(layer) if layer.isdecimal() else None, found.get("site")


def warn_of_other_layer(known: int | None, layer: int | None) -> None:
    """Warn if a layer was chosen that is not the one of the activations."""
    if known is not None and layer is not None and known != layer:
        warn(
            f"the fit is of activations of layer {known}, but layer={layer} was given; give layer={known}, unless another "
            "layer is what you want"
        )


def check_site(run: dict[str, Any], what: str, advice: str) -> None:
    """Refuse what is for the neurons of an MLP alone, if the activations are known to be of another site."""
    _, site = origin(run)
    if site in SITES and site != "neurons":
        raise ValueError(
            f"{what}: the fit is of activations at {site!r}, and this is for the neurons of an MLP; {advice}"
        )


def layer_of(run: dict[str, Any], layer: int | None, down_projection: Any) -> int | None:
    """The layer whose weights are read: the one that was given, or else that of the activations. Warns if these differ. A
    down-projection that was given has a layer of its own."""
    known, _ = origin(run)
    warn_of_other_layer(known, layer)
    return known if layer is None and down_projection is None else layer
