"""A fit: features, coefficients, and what they mean."""

from __future__ import annotations

import functools
import json
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _unmix


class Fit:
    """Features and coefficients of activations, with the columns of their tokens.

    A fit comes from :func:`unmix.load`. Its folder is the one that the command ``unmix fit`` writes.
    """

    def __init__(self, native: _unmix.Fit) -> None:
        self._native = native

    @functools.cached_property
    def components(self) -> NDArray[np.float32]:
        """Features Z, float32 [K, d], with at most m nonzeros a row."""
        return self._native.features()

    @functools.cached_property
    def coefficients(self) -> NDArray[np.float32]:
        """Coefficients Y ≥ 0, float32 [n, K]."""
        return self._native.coefficients()

    @functools.cached_property
    def columns(self) -> dict[str, NDArray[np.int64]]:
        """Columns of the tokens that are known, int64 [n] each: token_ids, prompt_ids, positions, rows."""
        return self._native.columns()

    @functools.cached_property
    def run(self) -> dict[str, Any]:
        """How the fit was made and how it went: the content of ``run.json``."""
        return json.loads(self._native.run_json())

    @property
    def n_components(self) -> int:
        """Number of features K."""
        return self.components.shape[0]

    def save(self, path: str | os.PathLike[str], force: bool = False) -> None:
        """Write the fit to a folder, which ``unmix`` commands and :func:`unmix.load` read.

        Parameters
        ----------
        path : path of the folder.
        force : replace an earlier fit there.

        Raises
        ------
        ValueError
            If the folder exists and may not be replaced.
        OSError
            If the system refuses to write. Nothing half-written is left.
        """
        self._native.save(path, force)

    def __repr__(self) -> str:
        tokens, (features, neurons) = self.coefficients.shape[0], self.components.shape
        return f"<unmix.Fit of {features} features: {tokens} tokens × {neurons} neurons>"


def load(path: str | os.PathLike[str]) -> Fit:
    """Read a fit from the folder that ``unmix fit`` or :meth:`Fit.save` wrote.

    Raises
    ------
    ValueError
        If the folder holds no fit, or a damaged one.
    OSError
        If it is not there, or cannot be read.
    """
    return Fit(_unmix.Fit.load(path))
