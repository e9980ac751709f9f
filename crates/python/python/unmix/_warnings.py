"""Warnings that point at the user's line, however many calls within the package lie between."""

from __future__ import annotations

import functools
import os
import sys
import warnings

_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep


def warn(message: str) -> None:
    """Warn about what the caller of the package did."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _is_inside(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)


def _is_inside(file: str) -> bool:
    # Cached properties put a frame of functools between.
    return file == functools.__file__ or os.path.abspath(file).startswith(_OWN)
