"""Packages that only some methods need, and that are imported when they are used."""

from __future__ import annotations

import importlib
from typing import Any


def needed(module: str, purpose: str) -> Any:
    """A module of an optional package.

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed. The message says which package is needed for what.
    """
    package = module.partition(".")[0]
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ModuleNotFoundError(
            f"{package} is needed for {purpose}; install it, or unmix with the extra `notebook`, which brings it",
            name=package,
        ) from error
    return importlib.import_module(module)
