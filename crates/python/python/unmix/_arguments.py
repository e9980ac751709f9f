"""Checks of arguments, before anything is computed: what was given, and what is needed."""

from __future__ import annotations

import math
import numbers
import operator
import os
from typing import Any

U32 = 2**32 - 1
U64 = 2**64 - 1


def whole(name: str, value: Any, least: int = 0, most: int = U32) -> int:
    """A whole number within bounds."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}={value!r}: a whole number is needed")
    try:
        found = operator.index(value)
    except TypeError as error:
        raise TypeError(f"{name}={value!r}: a whole number is needed") from error
    if not least <= found <= most:
        raise ValueError(f"{name}={value}: a whole number from {least} to {most} is needed")
    return found


def optional_whole(name: str, value: Any, least: int = 0, most: int = U32) -> int | None:
    """A whole number within bounds, or None."""
    return None if value is None else whole(name, value, least, most)


def wholes(name: str, values: Any) -> list[int]:
    """Several whole numbers, none of them negative."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name}={values!r}: a list of whole numbers is needed")
    return [whole(f"{name}[{place}]", value) for place, value in enumerate(values)]


def real(name: str, value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={value!r}: a number is needed")
    if not math.isfinite(value):
        raise ValueError(f"{name}={value}: a finite number is needed")
    return float(value)


def optional_real(name: str, value: Any) -> float | None:
    """A finite number, or None."""
    return None if value is None else real(name, value)


def flag(name: str, value: Any) -> bool:
    """True or False."""
    # The type of numpy is no subclass of bool.
    if not isinstance(value, bool) and type(value).__name__ not in ("bool_", "bool"):
        raise TypeError(f"{name}={value!r}: True or False is needed")
    return bool(value)


def optional_flag(name: str, value: Any) -> bool | None:
    """True, False or None."""
    return None if value is None else flag(name, value)


def text(name: str, value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r}: a name is needed")
    return value


def optional_text(name: str, value: Any) -> str | None:
    """A string, or None."""
    return None if value is None else text(name, value)


def path(name: str, value: Any) -> str | bytes:
    """A path as the system takes it."""
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise TypeError(f"{name}={value!r}: a path is needed")
    return os.fspath(value)
