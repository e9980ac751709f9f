"""The text of a fit's tokens: what the parts of :class:`unmix.Fit` that read it have in common."""

from __future__ import annotations

import abc
import functools
import operator
import os
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import _unmix
from ._vocabulary import read_text

_Fit = TypeVar("_Fit", bound="FitText")


class FitText(abc.ABC):
    """A fit and the text of its tokens."""

    @property
    @abc.abstractmethod
    def components(self) -> NDArray[np.float32]:
        """Features Z, float32 [K, d]."""

    @property
    @abc.abstractmethod
    def columns(self) -> dict[str, NDArray[np.int64]]:
        """Columns of the tokens that are known, int64 [n] each."""

    @property
    @abc.abstractmethod
    def run(self) -> dict[str, Any]:
        """How the fit was made and how it went: the content of ``run.json``."""

    def __init__(
        self,
        native: _unmix.Fit,
        token_strings: list[str] | None = None,
        tokenizer: Any = None,
        name: str = "fit",
    ) -> None:
        self._native = native
        #: The text of each token, str [n], if the activations had them. They are not part of the folder.
        self.token_strings = token_strings
        self._tokenizer = tokenizer
        #: What reports and comparisons call the fit: the name of its folder, if it was read from one.
        self.name = name

    @classmethod
    def _read(cls: type[_Fit], path: str | os.PathLike[str]) -> _Fit:
        """Read the fit in a folder."""
        return cls(_unmix.Fit.load(path), name=os.path.basename(os.path.realpath(path)))

    def _other(self: _Fit, fit: _Fit | str | os.PathLike[str]) -> _Fit:
        """Another fit or the one in a folder, with this one's tokenizer if it brings no text of its own."""
        other = type(self)._read(fit) if isinstance(fit, (str, os.PathLike)) else fit
        if not isinstance(other, FitText):
            raise TypeError(f"another fit is needed, or the path of its folder, not {fit!r}")
        knows_words = other._tokenizer is not None or other.token_strings is not None
        if knows_words or self._tokenizer is None or "token_ids" not in other.columns:
            return other
        return other.with_tokenizer(self._tokenizer)

    def with_tokenizer(self: _Fit, tokenizer: Any) -> _Fit:
        """Return the same fit, with the text of its tokens from a tokenizer.

        Parameters
        ----------
        tokenizer : object
            A tokenizer of transformers or tokenizers, a path of ``tokenizer.json`` or ``vocab.json`` (or of the folder
            that holds the first), a list of strings by token id, or a dict from string to id. Of a fit without token ids
            it only gives words to :meth:`lens`, and tokens keep the strings of the activations, if they had any.

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
        strings = None if "token_ids" in self.columns else self.token_strings
        fit = type(self)(self._native, strings, tokenizer, self.name)
        # A tokenizer that cannot be read is refused here rather than later.
        _ = fit._text
        return fit

    @functools.cached_property
    def _text(self) -> _unmix.Text:
        return read_text(self._native, self._tokenizer, self.token_strings)

    def _text_by(self, tokenizer: Any) -> _unmix.Text:
        return self._text if tokenizer is None else self.with_tokenizer(tokenizer)._text

    def _feature_number(self, number: int) -> int:
        number = operator.index(number)
        features = self.components.shape[0]
        if not 0 <= number < features:
            raise IndexError(f"there is no feature {number}: the fit has features 0 to {features - 1}")
        return number
