"""What can go wrong, beyond the exceptions that Python has."""

from __future__ import annotations

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

    def __init__(self, fit: Fit) -> None:
        super().__init__("the fit was interrupted; the best so far is kept")
        self.fit = fit
