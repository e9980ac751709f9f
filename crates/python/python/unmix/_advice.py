"""Advice of the command line, in the words of Python."""

from __future__ import annotations

import re

_OPTIONS = {"rank": "n_components", "penalty": "penalty", "solver": "solver"}


def in_python(advice: str) -> str:
    """The advice with Python's parameters in place of the command's options: ``--rank`` becomes ``n_components``."""

    def value(match: re.Match[str]) -> str:
        return f'{_OPTIONS.get(match[1], match[1])}="{match[2]}"'

    advice = re.sub(r"--(solver|init|engine) ([\w-]+)", value, advice)
    return re.sub(r"--([a-z-]+)", lambda match: _OPTIONS.get(match[1], match[1].replace("-", "_")), advice)
