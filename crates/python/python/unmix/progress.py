"""What is shown while a fit runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from . import _log

#: What a callback gets: ``stage``, ``step`` of ``steps``, ``iteration`` of ``max_iter``, ``relative_error``, ``best_relative_error``,
#: ``dead_features`` and ``seconds``.
Progress = dict[str, Any]
Callback = Callable[[Progress], object]

_STAGES = {
    "measure": "measuring",
    "start": "choosing the start",
    "warm-up": "warming up",
    "start-runs": "choosing starts",
    "runs": "runs",
    "agree": "comparing runs",
    "iterate": "iterations",
    "verify": "verifying",
}


class _Bar:
    """A bar of tqdm."""

    def __init__(self) -> None:
        from tqdm.auto import tqdm

        self._bar = tqdm(total=None, unit="it", leave=False)

    def __call__(self, progress: Progress) -> None:
        self._bar.set_description(_STAGES.get(progress["stage"], progress["stage"]), refresh=False)
        if progress["steps"] is not None:
            self._bar.total = progress["steps"]
            self._bar.n = progress["step"]
        if progress["stage"] == "iterate" and progress["iteration"]:
            self._bar.set_postfix(error=f"{progress['relative_error']:.4f}", refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        self._bar.close()


class _Lines:
    """Lines on stderr, where tqdm is not installed."""

    def __call__(self, progress: Progress) -> None:
        if progress["stage"] == "iterate" and progress["iteration"]:
            line = f"iteration {progress['iteration']}/{progress['max_iter']}  error {progress['relative_error']:.4f}"
            print(line, file=sys.stderr)

    def close(self) -> None:
        pass


class Reporter:
    """Tells a bar or a callback about a fit, and passes the log on."""

    def __init__(self, progress: bool | Callback | None) -> None:
        if callable(progress):
            self._shown: Any = None
            self._callback: Callback | None = progress
        else:
            self._shown = _shown() if progress else None
            self._callback = self._shown

    @property
    def callback(self) -> Callback | None:
        """What the engine calls, if anything wants to be told."""
        return None if self._callback is None else self._told

    def _told(self, progress: Progress) -> None:
        _log.forward()
        if self._callback is not None:
            self._callback(progress)

    def close(self) -> None:
        """Remove the bar, and pass on the rest of the log."""
        if self._shown is not None:
            self._shown.close()
        _log.forward()


def _shown() -> _Bar | _Lines:
    try:
        return _Bar()
    except ImportError:
        return _Lines()
