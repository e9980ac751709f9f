"""Shows how many tokens a second are collected."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

# Seconds between lines, where no bar can be shown.
INTERVAL = 30.0


class TokenProgress(contextlib.AbstractContextManager):
    """A bar of tqdm, if that is installed, and else a line on stderr now and then."""

    def __init__(self, is_shown: bool, done: int) -> None:
        self._is_shown, self._done = is_shown, done
        self._bar: Any = None
        self._begun = self._told = time.monotonic()
        self._new = 0

    def __enter__(self) -> TokenProgress:
        if self._is_shown:
            with contextlib.suppress(ImportError):
                from tqdm.auto import tqdm

                self._bar = tqdm(initial=self._done, unit=" tokens", unit_scale=True, desc="collecting")
        self._begun = self._told = time.monotonic()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, tokens: int) -> None:
        """Counts tokens."""
        self._new += tokens
        if self._bar is not None:
            self._bar.update(tokens)
        elif self._is_shown and (now := time.monotonic()) - self._told > INTERVAL:
            self._told = now
            rate = self._new / (now - self._begun)
            print(f"collected {self._done + self._new} tokens, {rate:.0f} a second", file=sys.stderr)
