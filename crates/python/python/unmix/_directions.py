"""What is to be steered by: rows at a site of a layer."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ._adapter import SITES, Adapter, Site, check_site
from .activations import Activations

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .fit import Fit

Weighted = int | Iterable[int] | Mapping[int, float]


def weights_of(given: Weighted, what: str) -> dict[int, float]:
    """Numbers and their weights: of one number, several, or a mapping."""
    if isinstance(given, Mapping):
        found = dict(given)
    else:
        found = dict.fromkeys(given if isinstance(given, Iterable) else [given], 1.0)
    if not found:
        raise ValueError(f"{what} is empty; give a number, several, or a mapping from numbers to strengths")
    for number, weight in found.items():
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
            raise TypeError(f"{what}: {number!r} is no whole number")
        if isinstance(weight, bool) or not isinstance(weight, numbers.Real):
            raise TypeError(f"{what} {number} has the strength {weight!r}; give a number")
        if not np.isfinite(float(weight)):
            raise ValueError(f"{what} {number} has the strength {weight}; give a finite number")
    return {int(number): float(weight) for number, weight in found.items()}


def feature_rows(fit: Fit, features: Iterable[int]) -> np.ndarray:
    """Features times their largest coefficients: an array (k, d), float32."""
    components, coefficients = fit.components, fit.coefficients
    rows = []
    for feature in features:
        if not 0 <= feature < len(components):
            raise ValueError(
                f"there is no feature {feature}: the fit has {len(components)} features; "
                f"give 0 to {len(components) - 1}"
            )
        largest = float(coefficients[:, feature].max(initial=0.0))
        row = np.asarray(components[feature], np.float32) * np.float32(largest)
        if not row.any():
            raise ValueError(f"feature {feature} is dead: no token uses it, so there is nothing to steer by")
        rows.append(row)
    return np.stack(rows)


def neuron_rows(neurons: Iterable[int], width: int) -> np.ndarray:
    """Rows (k, width), float32, that are 1 at one neuron and 0 elsewhere."""
    for neuron in neurons:
        if not 0 <= neuron < width:
            raise ValueError(f"there is no neuron {neuron}: the layer has {width} neurons; give 0 to {width - 1}")
    return (np.arange(width) == np.array(list(neurons))[:, None]).astype(np.float32)


def own_rows(direction: Any) -> np.ndarray:
    """Directions of one's own as rows (k, width), float32."""
    if hasattr(direction, "detach"):
        direction = direction.detach().float().cpu().numpy()
    rows = np.atleast_2d(np.asarray(direction, np.float32))
    if rows.ndim != 2 or not rows.size:
        raise ValueError(
            f"a direction is an array (width,) or (k, width); the one given has the shape {np.shape(direction)}"
        )
    if not np.isfinite(rows).all():
        raise ValueError("the direction has numbers that are not finite")
    if not rows.any(axis=1).all():
        raise ValueError("the direction is zero")
    return rows


def site_of(adapter: Adapter, layer: int, width: int, site: Site | None, known: Site | None) -> Site:
    """The site whose activations have this width."""
    if known is not None and adapter.width(layer, known) == width:
        return known
    if width == adapter.d_model and (site in ("mlp_out", "resid")) and not _has_width(adapter, layer, width):
        return site
    if _has_width(adapter, layer, width):
        return "neurons"
    if width == adapter.d_model:
        return "resid"
    raise ValueError(
        f"the direction has {width} numbers, but layer {layer} has {adapter.d_ff(layer)} neurons and a residual stream "
        f"of width {adapter.d_model}; give the layer that the activations are from"
    )


def moved(adapter: Adapter, layer: int, rows: np.ndarray, source: Site, target: Site | None) -> tuple[np.ndarray, Site]:
    """The rows as they come out at another site of the layer, and that site."""
    import torch

    if target is None or target == source:
        return rows, source
    check_site(target)
    if SITES.index(target) < SITES.index(source):
        raise ValueError(f"the direction is one of {source!r}, which comes after {target!r}; steer at {source!r}")
    vectors = torch.from_numpy(rows).to(adapter.device)
    if source == "neurons":
        vectors = adapter.project(layer, vectors)
    if target == "resid":
        vectors = adapter.write(layer, vectors)
    return vectors.float().cpu().numpy(), target


def diff_means(activations: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """The difference of means: the mean of the rows that have a property minus that of the others.

    Parameters
    ----------
    activations : array of shape (n, d)
        Or `unmix.Activations`.
    labels : array of shape (n,), bool
        Which rows have it. Numbers may be 1 and 0.

    Returns
    -------
    ndarray of shape (d,), float32
        A direction for `unmix.steer`.

    Raises
    ------
    ValueError
        If there is not one label for each row, a label is neither true nor false, all rows have the same, or the
        activations are not finite.

    Examples
    --------
    >>> unmix.diff_means([[1.0, 0.0], [3.0, 2.0], [0.0, 1.0]], [True, True, False])
    array([2., 0.], dtype=float32)
    """
    matrix = _matrix(activations)
    mask = np.asarray(labels)
    if len(matrix.shape) != 2 or mask.shape != tuple(matrix.shape[:1]):
        raise ValueError(
            f"there is one label for each row; activations have the shape {matrix.shape}, labels {mask.shape}"
        )
    mask = _booleans(mask)
    if mask.all() or not mask.any():
        raise ValueError(
            f"the labels are {'all' if mask.all() else 'never'} true, so there are no two means to compare"
        )
    means = _mean(matrix, mask), _mean(matrix, ~mask)
    if not all(np.isfinite(mean).all() for mean in means):
        raise ValueError("the activations have numbers that are not finite; leave out their rows")
    return (means[0] - means[1]).astype(np.float32)


def _booleans(labels: np.ndarray) -> np.ndarray:
    """Labels as True and False. Others, such as NaN or words, would all count as true."""
    for row, label in enumerate(labels.tolist()):
        if not isinstance(label, (bool, int, float)) or label not in (0, 1):
            raise ValueError(f"labels: the one of row {row} is {label!r}; each is True or False, or 1 or 0")
    return labels.astype(bool)


def _has_width(adapter: Adapter, layer: int, width: int) -> bool:
    """Whether the layer has so many neurons. Layers with experts have none of their own."""
    try:
        return adapter.d_ff(layer) == width
    except ValueError:
        return False


def _matrix(activations: Any) -> Any:
    """An array, or activations whose rows are read from files."""
    if isinstance(activations, Activations):
        return activations
    return np.asarray(activations.detach().float().cpu() if hasattr(activations, "detach") else activations)


def _mean(matrix: Any, mask: np.ndarray, block: int = 4096) -> np.ndarray:
    """The mean of rows in float64, a block at a time."""
    total = np.zeros(matrix.shape[1])
    for start in range(0, len(matrix), block):
        total += matrix[start : start + block][mask[start : start + block]].sum(0, dtype=np.float64)
    return total / mask.sum()
