"""A fit: features, coefficients, and what they mean."""

from __future__ import annotations

import functools
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _unmix
from ._fit_output import FitOutput
from ._fit_reading import FitReading
from ._html import escape, page, soft
from ._terminal import percent

if TYPE_CHECKING:
    from ._directions import Weighted
    from .steering import Steering


class Fit(FitReading, FitOutput):
    """Features and coefficients of activations, with the columns of their tokens.

    A fit comes from :func:`unmix.fit`, :class:`unmix.SemiNMF` or :func:`unmix.load`. Its folder is the one that the command
    ``unmix fit`` writes.
    """

    @functools.cached_property
    def components(self) -> NDArray[np.float32]:
        """Features Z, float32 [K, d], with at most m nonzeros a row. Read-only."""
        return self._native.features()

    @functools.cached_property
    def coefficients(self) -> NDArray[np.float32]:
        """Coefficients Y ≥ 0, float32 [n, K]. Read-only."""
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

    @functools.cached_property
    def statistics(self) -> dict[str, NDArray[Any]]:
        """Statistics of each feature [K] by name: explained_share, energy_share, active_share, max_coefficient, norm, nonzeros, and of
        a consensus reproducibility and found_in.
        """
        rows = self.run["feature_statistics"]
        return {name: np.asarray([row[name] for row in rows]) for name in rows[0]}

    def transform(
        self, X: Any, *, penalty: float | None = None, tol: float = 1e-5, device: str = "auto"
    ) -> NDArray[np.float32]:
        """Coefficients of other activations for these features, which stay as they are.

        Parameters
        ----------
        X : array [n, d], path or paths, or Activations
        penalty : weight of the penalty on coefficients; None for that of the fit.
        tol : a token has settled when eight sweeps move its reconstruction by less than this share of its norm.
        device : as of :func:`unmix.fit`.

        Returns
        -------
        float32 [n, K], at least 0.

        Raises
        ------
        ValueError
            If the activations have another number of neurons than the features, or are not finite.
        """
        from .activations import as_activations
        from .fitting import encode

        return encode(self, as_activations(X), penalty=penalty, tol=tol, device=device)[0]

    def steer(
        self, model: Any, feature: Weighted | None = None, strength: float | None = None, **options: Any
    ) -> Steering:
        """Steer a language model by features of this fit: :func:`unmix.steer` with ``fit=self``.

        Parameters
        ----------
        model : a model of transformers, TransformerLens or nnsight.
        feature : a feature, several, or a mapping from features to strengths.
        strength : in units of what the fit saw where the feature is strongest; 1 by default.
        **options : as of :func:`unmix.steer`: ``kl`` and ``neutral`` find the strength, ``mode`` ablates or clamps.

        Returns
        -------
        Steering
            Acts inside a ``with`` block, or from its ``apply()`` to its ``remove()``.

        Raises
        ------
        ValueError
            If there is no such feature or layer, or no strength has the divergence ``kl``.
        """
        from .steering import steer

        return steer(model, fit=self, feature=feature, strength=strength, **options)

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

    def __getstate__(self) -> dict[str, Any]:
        parts = {"features": self.components, "coefficients": self.coefficients, "columns": self.columns}
        text = {"token_strings": self.token_strings, "tokenizer": self._tokenizer, "name": self.name}
        return {**parts, **text, "run": self._native.run_json()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        native = _unmix.Fit.from_parts(state["features"], state["coefficients"], state["columns"], state["run"])
        self.__init__(native, state["token_strings"], state["tokenizer"], state["name"])  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"<unmix.Fit of {self._sizes()}>"

    def _repr_html_(self) -> str:
        explained = percent(1 - self.run["relative_error"])
        return page(
            f"<div><b>Fit of {escape(self._sizes())}</b></div>"
            + soft(f"It explains {explained} of the activations. fit.features() lists the features.")
        )

    def _sizes(self) -> str:
        tokens, (features, neurons) = self.coefficients.shape[0], self.components.shape
        return f"{features} features: {tokens} tokens × {neurons} neurons"


def load(path: str | os.PathLike[str]) -> Fit:
    """Read a fit from the folder that ``unmix fit`` or :meth:`Fit.save` wrote.

    Raises
    ------
    ValueError
        If the folder holds no fit, or a damaged one.
    OSError
        If it is not there, or cannot be read.
    """
    return Fit._read(path)
