"""Hands the engine's log to :mod:`logging`, under the logger ``unmix``."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from . import _unmix

_logger = logging.getLogger("unmix")


def warn(message: str, *arguments: object) -> None:
    """Log a warning about what was given."""
    _logger.warning(message, *arguments)


def forward() -> None:
    """Log what the engine has told since the last call."""
    for level, target, message in _unmix.take_log_records():
        name = target.replace("::", ".") if target.startswith("unmix") else f"unmix.{target.replace('::', '.')}"
        logging.getLogger(name).log(level, "%s", message)


@contextlib.contextmanager
def forwarded() -> Iterator[None]:
    """Log what the engine tells while something is computed."""
    try:
        yield
    finally:
        forward()
