"""Activations as users have them, as contiguous memory that the engine can borrow."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _log


def is_path(given: object) -> bool:
    """Whether this names a file or folder."""
    return isinstance(given, (str, os.PathLike))


def is_paths(given: object) -> bool:
    """Whether this is a list of paths."""
    return isinstance(given, (list, tuple)) and len(given) > 0 and all(is_path(item) for item in given)


def memory_of(given: Any, *, name: str = "X") -> tuple[NDArray[Any], str]:
    """A matrix as contiguous numbers and their type: ``f32``, ``f16`` or ``bf16``.

    The numbers of bf16 are the array's bits, as uint16. The memory is that of ``given`` if it is contiguous and of one of these
    types. Otherwise it is a copy, as float32.

    Raises
    ------
    TypeError
        If this is no array of numbers.
    ValueError
        If it does not have two dimensions, has no entries, or holds numbers that float32 cannot hold.
    """
    if given is None or (isinstance(given, (list, tuple)) and not given):
        raise ValueError(f"{name} is {given!r}; activations are an array [n, d], or the path or paths of files")
    array, element = numbers_of(given, name)
    if array.ndim > 2:
        raise ValueError(
            f"{name}: Expected 2D array, got {array.ndim}D array instead, of shape {array.shape}. Leave out padding, and give a row "
            "for each token: array.reshape(-1, array.shape[-1]) for a batch of sequences without padding"
        )
    if array.ndim != 2:
        advice = "Reshape your data either using array.reshape(-1, 1) if your data has a single feature or array.reshape(1, -1) if it contains a single sample"
        raise ValueError(
            f"{name}: Expected 2D array, got {array.ndim}D array instead, of shape {array.shape}. {advice}"
        )
    tokens, neurons = array.shape
    if tokens == 0:
        raise ValueError(
            f"{name}: Found array with 0 sample(s) (shape={array.shape}) while a minimum of 1 is required."
        )
    if neurons == 0:
        raise ValueError(
            f"{name}: Found array with 0 feature(s) (shape={array.shape}) while a minimum of 1 is required."
        )
    return array, element


def bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of a contiguous array, without a copy."""
    return array.reshape(-1).view(np.uint8)


def numbers_of(given: Any, name: str) -> tuple[NDArray[Any], str]:
    """An array of any shape as contiguous numbers and their type, as of :func:`memory_of`."""
    if _is_sparse(given):
        raise TypeError(
            f"{name}: Sparse data was passed, but dense data is required. Use '.toarray()' to convert to a dense numpy array."
        )
    if isinstance(given, Mapping):
        parts = ", ".join(map(repr, given))
        raise TypeError(
            f"{name} has several parts ({parts}); give one of them, such as {name}[{next(iter(given), '')!r}]"
        )
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(given, torch.Tensor):
        return _of_torch(torch, given, name)
    if isinstance(given, np.ma.MaskedArray) and np.ma.getmaskarray(given).any():
        raise ValueError(f"{name}: some entries are masked; fill them, or leave out their rows")
    if hasattr(given, "__dlpack__") and not isinstance(given, np.ndarray) and not hasattr(given, "__array__"):
        return _numeric(np.from_dlpack(given), name)
    if isinstance(given, (list, tuple)) and any(map(is_path, given)) and not is_paths(given):
        raise TypeError(f"{name}: the list has paths and other things; give an array [n, d], or only paths")
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name}: an array [n, d] is needed, with rows of the same length: {error}") from error
    return _numeric(array, name)


def _is_sparse(given: Any) -> bool:
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and sparse.issparse(given)


def _of_torch(torch: Any, tensor: Any, name: str) -> tuple[NDArray[Any], str]:
    if tensor.layout != torch.strided:
        raise TypeError(f"{name}: Sparse data was passed, but dense data is required. Use '.to_dense()' on the tensor.")
    tensor = tensor.detach()
    if tensor.device.type == "meta":
        raise ValueError(
            f"{name}: the tensor is on the device meta, where it has a shape and no numbers; load its numbers"
        )
    if tensor.is_quantized:
        raise TypeError(
            f"{name}: numbers are needed, but these are quantized ({tensor.dtype}); give {name}.dequantize()"
        )
    if tensor.device.type != "cpu":
        _log.warn("%s: %d bytes are copied from %s to the host", name, tensor.nbytes, tensor.device)
        tensor = tensor.cpu()
    # Lazily negated or conjugated tensors have other numbers in memory.
    tensor = tensor.resolve_neg()
    if tensor.dtype == torch.bfloat16:
        return _contiguous(tensor.view(torch.int16).numpy().view(np.uint16)), "bf16"
    if tensor.dtype.is_floating_point and tensor.dtype.itemsize == 1:
        raise TypeError(f"{name}: {tensor.dtype} has no counterpart in numpy; give {name}.float()")
    return _numeric(tensor.numpy(), name)


def _numeric(array: NDArray[Any], name: str) -> tuple[NDArray[Any], str]:
    """The numbers of an array of any type of numbers."""
    if array.dtype.name == "bfloat16":
        return _contiguous(array.view(np.uint16)), "bf16"
    if array.dtype == np.float16 and array.dtype.isnative:
        return _contiguous(array), "f16"
    if array.dtype == np.float32 and array.dtype.isnative:
        return _contiguous(array), "f32"
    if array.dtype.kind == "c":
        raise ValueError(f"{name}: Complex data not supported. Real numbers are needed, but these are {array.dtype}.")
    if array.dtype.kind == "O":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: numbers are needed: {error}") from error
    if array.dtype.kind in "SU":
        raise ValueError(f"{name}: numbers are needed, but these are strings ({array.dtype})")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: numbers are needed, but these are {array.dtype}")
    return _narrowed(array, name), "f32"


def _contiguous(array: NDArray[Any]) -> NDArray[Any]:
    return np.require(array, requirements=["C_CONTIGUOUS", "ALIGNED"])


# Rows that are converted at a time, so that little is in memory twice.
_PORTION_VALUES = 1 << 22


def _narrowed(array: NDArray[Any], name: str) -> NDArray[np.float32]:
    """The numbers as float32."""
    narrow = np.empty(array.shape, dtype=np.float32)
    if array.ndim != 2 or array.size == 0:
        return narrow if array.size == 0 else array.astype(np.float32)
    rows = max(1, _PORTION_VALUES // array.shape[1])
    for start in range(0, array.shape[0], rows):
        portion = array[start : start + rows]
        with np.errstate(over="ignore"):
            narrow[start : start + rows] = portion
        _check_range(portion, narrow[start : start + rows], start, name)
    return narrow


def _check_range(wide: NDArray[Any], narrow: NDArray[np.float32], start: int, name: str) -> None:
    """Refuse finite numbers that became infinite, and rows whose numbers are all too small. Numbers that are not finite are told by the fit."""
    lost = np.isinf(narrow) & np.isfinite(wide)
    if lost.any():
        row, column = np.argwhere(lost)[0]
        raise ValueError(
            f"{name}: the number {wide[row, column]} in row {start + row}, column {column} is too large for float32, in which the "
            "engine computes; multiply the activations by a constant"
        )
    # A row of integers is zero, or has a number of at least 1.
    small = np.flatnonzero(np.abs(narrow).max(axis=1) < np.finfo(np.float32).smallest_normal)
    lost = wide[small] != 0
    if lost.any():
        row = small[np.argwhere(lost)[0][0]]
        column = np.abs(wide[row]).argmax()
        raise ValueError(
            f"{name}: the largest number of row {start + row} is {wide[row, column]}, in column {column}, which is too small for float32, "
            "in which the engine computes; multiply the activations by a constant, or set the rows to zero that should be zero"
        )


def feature_names_of(given: Any) -> NDArray[np.object_] | None:
    """The names of the columns, if they are strings, as scikit-learn takes them from a data frame."""
    columns = getattr(given, "columns", None)
    # The columns of Activations are those of its tokens, by name.
    if (
        columns is None
        or isinstance(columns, Mapping)
        or (not hasattr(given, "__array__") and not hasattr(given, "__dataframe__"))
    ):
        return None
    names = np.asarray(columns, dtype=object)
    kinds = {isinstance(column, str) for column in names}
    if kinds == {True}:
        return names
    if kinds == {True, False}:
        raise TypeError(
            "Feature names are only supported if all input features have string names, but your input has both strings and "
            "other types as feature names / column names. Give all columns names that are strings, for instance by "
            "X.columns = X.columns.astype(str)."
        )
    return None


def paths_of(given: Any) -> list[str | os.PathLike[str]]:
    """The paths of files or folders."""
    return [given] if is_path(given) else list(given)


def check_strings(strings: list[str], name: str) -> None:
    """Refuse what is no text, or cannot be written as UTF-8."""
    for row, string in enumerate(strings):
        if not isinstance(string, str):
            raise TypeError(f"{name}: the one of row {row} is {string!r}; strings are needed")
        if not string.isascii():
            try:
                string.encode()
            except UnicodeEncodeError as error:
                raise ValueError(
                    f"{name}: the one of row {row} is {string!r}, which UTF-8 cannot hold: {error}"
                ) from error


def column_of(values: Sequence[int] | NDArray[Any] | None, name: str) -> NDArray[np.int64] | None:
    """A column of tokens as whole numbers."""
    if values is None:
        return None
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    column = np.asarray(values)
    if column.ndim != 1 or column.dtype.kind not in "iu":
        raise ValueError(f"{name}: one whole number for each row is needed, not {column.dtype} of shape {column.shape}")
    if column.dtype == np.uint64 and column.size > 0 and column.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name}: {column.max()} is too large; numbers below 2**63 are needed")
    return np.ascontiguousarray(column, dtype=np.int64)
