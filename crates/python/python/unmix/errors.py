"""What can go wrong, beyond the exceptions that Python has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ._unmix import DeviceError

if TYPE_CHECKING:
    from .fit import Fit

__all__ = ["DeviceError", "FitInterrupted"]


class FitInterrupted(KeyboardInterrupt):
    """A fit was interrupted by Ctrl-C. The best features until then are in :attr:`fit`.

    Attributes
    ----------
    fit : Fit
        The fit as it was after its last iteration.
    """

    def __init__(self, fit: Fit, out: str | os.PathLike[str] | None = None) -> None:
        where = "" if out is None else f" in {os.fspath(out)}, and the same call goes on"
        super().__init__(f"the fit was interrupted; the best so far is kept{where}")
        self.fit = fit
