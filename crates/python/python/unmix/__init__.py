"""Readable features in the activations of neural networks, by semi-nonnegative matrix factorization."""

from ._unmix import DeviceError, __version__
from .features import Context, Feature, FeatureTable, Word
from .fit import Fit, load

__all__ = ["Context", "DeviceError", "Feature", "FeatureTable", "Fit", "Word", "__version__", "load"]
