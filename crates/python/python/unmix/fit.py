"""A fit: features, coefficients, and what they mean."""

from __future__ import annotations

import functools
import json
import operator
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _unmix
from ._vocabulary import read_text
from .features import Context, Feature, FeatureTable, feature_table


class Fit:
    """Features and coefficients of activations, with the columns of their tokens.

    A fit comes from :func:`unmix.load`. Its folder is the one that the command ``unmix fit`` writes.
    """

    def __init__(self, native: _unmix.Fit, tokenizer: Any = None, token_strings: list[str] | None = None) -> None:
        self._native = native
        self._tokenizer = tokenizer
        self._token_strings = token_strings

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

    def with_tokenizer(self, tokenizer: Any) -> Fit:
        """The same fit, with the text of its tokens from a tokenizer.

        Parameters
        ----------
        tokenizer : object
            A tokenizer of transformers or tokenizers, a path of ``tokenizer.json`` or ``vocab.json`` (or of the folder
            that holds the first), a list of strings by token id, or a dict from string to id.

        Returns
        -------
        Fit
            It shares its matrices with this one.

        Raises
        ------
        TypeError
            If the tokenizer is none of these.
        ValueError
            If it cannot be read, or does not have most of the fit's token ids.

        Examples
        --------
        >>> fit.with_tokenizer(tokenizer).features(top=1).words_from
        'vocabulary'
        """
        fit = Fit(self._native, tokenizer)
        fit._text  # noqa: B018 - a tokenizer that cannot be read is refused here rather than later
        return fit

    @functools.cached_property
    def _text(self) -> _unmix.Text:
        return read_text(self._native, self._tokenizer, self._token_strings)

    def features(
        self, sort: str = "reading", top: int | None = None, contexts: int = 2, tokenizer: Any = None
    ) -> FeatureTable:
        """The features of the fit: the words at which each is strongest, and how much it explains.

        Parameters
        ----------
        sort : {"reading", "share", "reproducibility", "index"}
            ``"reading"`` begins with features that can be trusted and read: those that other runs find again, and of
            these the ones whose strongest words agree. ``"reproducibility"`` needs a fit of several runs.
        top : int, optional
            Most features. By default all.
        contexts : int
            Contexts of each feature that are shown.
        tokenizer : object, optional
            Gives the text of tokens, as for :meth:`with_tokenizer`, which remembers it.

        Returns
        -------
        FeatureTable

        Raises
        ------
        ValueError
            If there is no such order, or the fit does not know the reproducibility of features.

        Examples
        --------
        >>> table = fit.features(sort="share", top=3)
        >>> len(table)
        3
        >>> table[0].share >= table[1].share
        True
        >>> list(table.to_pandas().columns)[:2]
        ['share', 'active_share']
        """
        return feature_table(self._text_by(tokenizer), sort=sort, top=top, contexts=contexts)

    def feature(self, number: int, contexts: int = 20, words: int = 12, tokenizer: Any = None) -> Feature:
        """One feature: its words, contexts, neurons and statistics.

        Parameters
        ----------
        number : int
            The row of ``components``, from 0.
        contexts : int
            Most words in context.
        words : int
            Most words of context on each side.
        tokenizer : object, optional
            As for :meth:`features`.

        Returns
        -------
        Feature

        Raises
        ------
        IndexError
            If there is no such feature.

        Examples
        --------
        >>> feature = fit.feature(3)
        >>> feature.number
        3
        >>> feature.contexts[0].coefficient == fit.coefficients[:, 3].max()
        True
        """
        number = self._feature_number(number)
        table = feature_table(self._text_by(tokenizer), sort="index", numbers=[number], contexts=contexts, words=words)
        return table[0]

    def contexts(self, number: int, top: int = 20, words: int = 12, tokenizer: Any = None) -> list[Context]:
        """The words at which a feature is strongest, in their text, strongest first.

        Parameters
        ----------
        number : int
            The feature.
        top : int
            Most contexts.
        words : int
            Most words of context on each side.
        tokenizer : object, optional
            As for :meth:`features`.

        Returns
        -------
        list of Context

        Raises
        ------
        IndexError
            If there is no such feature.

        Examples
        --------
        >>> [context.coefficient >= 0 for context in fit.contexts(0, top=2)]
        [True, True]
        """
        return self.feature(number, top, words, tokenizer).contexts[:top]

    def _text_by(self, tokenizer: Any) -> _unmix.Text:
        return self._text if tokenizer is None else self.with_tokenizer(tokenizer)._text

    def _feature_number(self, number: int) -> int:
        number = operator.index(number)
        if not 0 <= number < self.n_components:
            raise IndexError(f"there is no feature {number}: the fit has features 0 to {self.n_components - 1}")
        return number

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
