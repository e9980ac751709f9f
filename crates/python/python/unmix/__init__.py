"""Readable features in the activations of neural networks, by semi-nonnegative matrix factorization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import models
from ._directions import diff_means
from ._unmix import __version__
from .activations import Activations
from .collect import collect
from .collection import Collection
from .comparison import Comparison
from .concepts import ConceptTable
from .errors import DeviceError, FitInterrupted
from .export import Export
from .features import Context, Feature, FeatureTable, Word
from .fit import Fit, load
from .fitting import default_options, fit
from .lens import LensTable
from .report import Report
from .steering import Steering, steer
from .tree import FeatureTree

if TYPE_CHECKING:
    from .estimator import SemiNMF

__all__ = [
    "Activations",
    "Collection",
    "Comparison",
    "ConceptTable",
    "Context",
    "DeviceError",
    "Export",
    "Feature",
    "FeatureTable",
    "FeatureTree",
    "Fit",
    "FitInterrupted",
    "LensTable",
    "Report",
    "SemiNMF",
    "Steering",
    "Word",
    "__version__",
    "collect",
    "default_options",
    "diff_means",
    "fit",
    "load",
    "models",
    "steer",
]


def __getattr__(name: str) -> Any:
    # The estimator needs scikit-learn's classes, whose import takes longer than everything else.
    if name == "SemiNMF":
        from .estimator import SemiNMF

        return SemiNMF
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "SemiNMF"])
