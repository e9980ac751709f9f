"""The text of token ids, from whatever a user has: a tokenizer, a file, or a list."""

from __future__ import annotations

import json
import os
from typing import Any

from . import _unmix
from ._warnings import warn


def read_text(native: _unmix.Fit, tokenizer: Any = None, token_strings: list[str] | None = None) -> _unmix.Text:
    """The text of a fit's tokens.

    Parameters
    ----------
    native : the fit.
    tokenizer : a tokenizer of transformers or tokenizers, a path of its ``tokenizer.json`` or ``vocab.json``, a list of
        strings by id, or a dict from string to id.
    token_strings : a string for each token, used instead.

    Raises
    ------
    TypeError
        If the tokenizer is none of these.
    ValueError
        If it cannot be read, or belongs to another model.
    """
    if isinstance(tokenizer, (str, os.PathLike)):
        text = _unmix.Text(native, token_strings, path=_file(tokenizer))
    else:
        vocabulary = None if tokenizer is None else _as_json(tokenizer)
        text = _unmix.Text(native, token_strings, vocabulary=vocabulary)
    _warn(text)
    return text


def _warn(text: _unmix.Text) -> None:
    """Says how many tokens have lost bytes, and how many are missing in the vocabulary."""
    if text.lost is not None:
        warn(
            f"token_strings: {text.lost} tokens hold U+FFFD, as if each had been decoded by itself, which loses letters with "
            "accents, Chinese characters and emoji; a tokenizer shows them, and so do the strings of "
            "tokenizer.convert_ids_to_tokens(token_ids)",
        )
    if text.unknown is not None:
        tokens, ids, row, first = text.unknown
        warn(
            f"the tokenizer has no text for {tokens} tokens ({ids} different ids), the first in row {row}; they are shown as "
            f"[id {first}]",
        )


def _file(path: str | os.PathLike[str]) -> str:
    """The file of a vocabulary. A folder stands for its ``tokenizer.json``."""
    path = os.fspath(path)
    return os.path.join(path, "tokenizer.json") if os.path.isdir(path) else path


def _as_json(tokenizer: Any) -> str:
    """A tokenizer as the JSON of a ``tokenizer.json`` or of a ``vocab.json``."""
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if hasattr(backend, "to_str"):
        return backend.to_str()
    if hasattr(tokenizer, "get_vocab"):
        return json.dumps(tokenizer.get_vocab())
    if isinstance(tokenizer, (list, tuple, dict)):
        return json.dumps(tokenizer)
    raise TypeError(
        f"tokenizer is a {type(tokenizer).__name__}; expected a tokenizer of transformers or tokenizers, a path of "
        "tokenizer.json, a list of strings by id, or a dict from string to id"
    )
