"""Activations: a matrix of tokens × neurons, and the tokens that its rows belong to."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _html, _input, _log, _unmix
from ._arguments import whole, wholes

_DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}


class Activations:
    """A matrix of activations [n, d], with the tokens that its rows belong to.

    Parameters
    ----------
    X : array [n, d], path, or list of paths
        An array of numpy, a tensor, or anything with ``__array__`` or ``__dlpack__``; C-contiguous float32, float16 and bfloat16 are
        not copied. Or safetensors or npy files, folders of them, or an index of shards, which are read as one matrix as ``unmix fit``
        reads them.
    token_ids, prompt_ids, positions : sequence of int [n], optional
        The token of each row, its prompt, and its position in the prompt. Only beside an array; files have their own columns.
    token_strings : sequence of str [n], optional
        The text of each row's token.
    tensor : str, optional
        Name of the tensor of activations, if the files hold several that could be meant.
    skip_token_ids : sequence of int
        Rows of files with these token ids are left out.
    skip_first : int
        That many tokens at the beginning of each prompt are left out. Only of files.
    max_norm : float or str, optional
        Tokens of a larger norm are left out: 10.0 is the norm 10, ``"10x"`` ten times the median norm. Only of files.
    keep : str, optional
        Name of a tensor in the files. Tokens for which it is zero or false are left out.

    Raises
    ------
    ValueError
        If the matrix or a column has another shape than is needed, or the files do not belong together.
    OSError
        If a file is not there or cannot be read.

    Examples
    --------
    >>> import numpy as np, unmix
    >>> acts = unmix.Activations(np.ones((3, 4), dtype=np.float16), prompt_ids=[0, 0, 1])
    >>> acts.shape, str(acts.dtype), acts.columns["prompt_ids"].tolist()
    ((3, 4), 'float16', [0, 0, 1])
    """

    def __init__(
        self,
        X: Any,
        *,
        token_ids: Sequence[int] | NDArray[Any] | None = None,
        prompt_ids: Sequence[int] | NDArray[Any] | None = None,
        positions: Sequence[int] | NDArray[Any] | None = None,
        token_strings: Sequence[str] | None = None,
        tensor: str | None = None,
        skip_token_ids: Sequence[int] = (),
        skip_first: int = 0,
        max_norm: float | str | None = None,
        keep: str | None = None,
    ) -> None:
        columns = {"token_ids": token_ids, "prompt_ids": prompt_ids, "positions": positions}
        choice = {
            "tensor": tensor,
            "skip_token_ids": tuple(wholes("skip_token_ids", skip_token_ids)),
            "skip_first": whole("skip_first", skip_first),
            "max_norm": max_norm,
            "keep": keep,
        }
        if _input.is_path(X) or _input.is_paths(X):
            self._native = _open(X, columns, choice)
        else:
            self._native = _borrow(X, columns, choice)
        self._choice = choice
        self.token_strings = None if token_strings is None else list(token_strings)
        if self.token_strings is not None and len(self.token_strings) != self.shape[0]:
            raise ValueError(
                f"token_strings: {len(self.token_strings)} strings for {self.shape[0]} rows; one for each row is needed"
            )
        if self.token_strings is not None:
            _input.check_strings(self.token_strings, "token_strings")

    @property
    def shape(self) -> tuple[int, int]:
        """Number of tokens n, and of neurons d."""
        return self._native.shape

    @property
    def dtype(self) -> str:
        """Type of the numbers: ``float32``, ``float16`` or ``bfloat16``."""
        return _DTYPES[self._native.element]

    @property
    def paths(self) -> list[str]:
        """The files, in order. Empty for activations in memory."""
        return [str(path) for path in self._native.paths]

    @functools.cached_property
    def columns(self) -> dict[str, NDArray[np.int64]]:
        """Columns of the tokens that are known, int64 [n] each: token_ids, prompt_ids, positions, rows."""
        return self._native.columns()

    def fingerprint(self) -> str:
        """``blake3:`` and 64 hexadecimal digits, over shape, type and numbers. All numbers are read."""
        return self._native.fingerprint()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | int) -> NDArray[np.float32]:
        """Rows as float32, read from the files if they are there. A slice has step 1."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step != 1:
                raise IndexError(f"rows {rows}: only a step of 1 is possible")
            return self._native.rows(start, max(start, stop))
        try:
            row = operator.index(rows)
        except TypeError:
            raise TypeError(
                f"rows {rows!r}: a number or a slice is needed; np.asarray(activations) takes any index of numpy"
            ) from None
        if not -len(self) <= row < len(self):
            raise IndexError(f"there is no row {row}: the activations have rows 0 to {len(self) - 1}")
        row %= len(self)
        return self._native.rows(row, row + 1)[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("activations become an array only by a copy")
        return np.asarray(self[:], dtype=dtype)

    def __getstate__(self) -> dict[str, Any]:
        # Files are named, not copied: they are read again.
        made_of: dict[str, Any] = {"paths": self.paths}
        if not self.paths:
            made_of = {"bytes": self._bytes(), "element": self._native.element, "columns": self.columns}
        return {**made_of, "shape": self.shape, "token_strings": self.token_strings, "choice": self._choice}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._choice, self.token_strings = state["choice"], state["token_strings"]
        if "paths" in state:
            self._native = _open(state["paths"], {}, state["choice"])
            if self.shape != state["shape"]:
                raise ValueError(f"{state['paths'][0]}: the files have changed since the activations were pickled")
        else:
            tokens, neurons = state["shape"]
            self._native = _unmix.Activations.from_memory(
                state["bytes"], state["element"], tokens, neurons, state["columns"]
            )

    def _bytes(self) -> NDArray[np.uint8]:
        """The numbers in memory as bytes of their own type, to which float32 goes back without loss."""
        rows = self[:]
        if self._native.element == "bf16":
            return _input.bytes_of((rows.view(np.uint32) >> 16).astype(np.uint16))
        return _input.bytes_of(rows.astype(self.dtype))

    def __repr__(self) -> str:
        return f"<unmix.Activations: {self._sizes()}>"

    def _repr_html_(self) -> str:
        columns = ", ".join(self.columns) or "none"
        return _html.page(
            f"<div><b>Activations: {_html.escape(self._sizes())}</b></div>{_html.soft(f'Columns of the tokens: {columns}.')}"
        )

    def _sizes(self) -> str:
        tokens, neurons = self.shape
        count = len(self.paths)
        where = f" in {count} file{'s' if count > 1 else ''}" if count else ""
        return f"{tokens} tokens × {neurons} neurons, {self.dtype}{where}"


def as_activations(X: Any) -> Activations:
    """``X`` itself if it is activations, else activations of it."""
    return X if isinstance(X, Activations) else Activations(X)


def _open(X: Any, columns: dict[str, Any], choice: dict[str, Any]) -> _unmix.Activations:
    given = [name for name, column in columns.items() if column is not None]
    if given:
        raise ValueError(f"{given[0]}: files have their own columns; leave it out, or give an array")
    max_norm = None if choice["max_norm"] is None else str(choice["max_norm"])
    leave_out = {
        "skip_token_ids": list(choice["skip_token_ids"]),
        "skip_first": choice["skip_first"],
        "max_norm": max_norm,
        "keep": choice["keep"],
    }
    with _log.forwarded():
        return _unmix.Activations.from_files(_input.paths_of(X), choice["tensor"], leave_out)


def _borrow(X: Any, columns: dict[str, Any], choice: dict[str, Any]) -> _unmix.Activations:
    given = [name for name, value in choice.items() if value not in (None, (), 0)]
    if given:
        raise ValueError(f"{given[0]}: only of files; take the rows that you want from the array itself")
    array, element = _input.memory_of(X)
    known = {name: _input.column_of(column, name) for name, column in columns.items()}
    present = {name: column for name, column in known.items() if column is not None}
    tokens, neurons = array.shape
    return _unmix.Activations.from_memory(_input.bytes_of(array), element, tokens, neurons, present)
