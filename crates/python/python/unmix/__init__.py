"""Readable features in the activations of neural networks, by semi-nonnegative matrix factorization."""

from ._unmix import DeviceError, __version__
from .fit import Fit, load

__all__ = ["DeviceError", "Fit", "__version__", "load"]
