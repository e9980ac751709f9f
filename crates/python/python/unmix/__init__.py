"""Readable features in the activations of neural networks, by semi-nonnegative matrix factorization."""

from . import models
from ._unmix import DeviceError, __version__
from .collect import collect
from .collection import Collection
from .fit import Fit, load
from .steering import Steering, diff_means, steer

__all__ = [
    "Collection",
    "DeviceError",
    "Fit",
    "Steering",
    "__version__",
    "collect",
    "diff_means",
    "load",
    "models",
    "steer",
]
