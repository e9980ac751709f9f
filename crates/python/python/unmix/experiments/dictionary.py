"""Directions of a layer among which one is chosen for each concept."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .layer import Layer


@dataclasses.dataclass
class Dictionary:
    """Directions of one site of a layer.

    Parameters
    ----------
    layer : Layer
        The layer.
    site : {"neurons", "residual"}
        What the directions are made of. A direction of neurons steers through the down-projection.
    atoms : ndarray of shape (K, width)
        The directions.
    coefficients : ndarray of shape (training tokens, K), optional
        How strongly each training token uses each direction.
    numbers : ndarray of shape (K,), optional
        What each direction is called where it comes from. 0, 1, … unless given.
    """

    layer: Layer
    site: str
    atoms: np.ndarray
    coefficients: np.ndarray | None = None
    numbers: np.ndarray | None = None

    def name(self, direction: int) -> int:
        """What a direction is called where it comes from."""
        return int(direction if self.numbers is None else self.numbers[direction])

    @functools.cached_property
    def residual(self) -> np.ndarray:
        """Unit directions [K, d_model] of the residual stream."""
        return self.layer.to_residual(self.site, self.atoms)

    @functools.cached_property
    def peaks(self) -> np.ndarray:
        """The largest cosine [prompts, K] of a prompt's tokens with each direction."""
        return self.layer.peaks(self.site, self.atoms)

    @functools.cached_property
    def _ranks(self) -> dict[bool, np.ndarray]:
        return {training: ranks(self.peaks[self.layer.half == training]) for training in (True, False)}

    def areas(self, concept: str, *, training: bool) -> np.ndarray:
        """How well each direction tells the concept's prompts of one half from the rest: areas [K] under ROC curves."""
        positive = self.layer.labels[self.layer.half == training] == concept
        inside, outside = positive.sum(), (~positive).sum()
        sums = self._ranks[training][positive].sum(0)
        return (sums - inside * (inside + 1) / 2) / (inside * outside)


def ranks(scores: np.ndarray) -> np.ndarray:
    """The ranks from 1 of each column's values. Equal values share their mean rank.

    Examples
    --------
    >>> import numpy as np
    >>> from unmix.experiments.dictionary import ranks
    >>> ranks(np.array([[5.0], [7.0], [5.0]])).ravel().tolist()
    [1.5, 3.0, 1.5]
    """
    ordered = np.sort(scores, axis=0)
    result = np.empty(scores.shape)
    for column in range(scores.shape[1]):
        left = np.searchsorted(ordered[:, column], scores[:, column], "left")
        right = np.searchsorted(ordered[:, column], scores[:, column], "right")
        result[:, column] = (left + right + 1) / 2
    return result
