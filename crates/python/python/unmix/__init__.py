"""Readable features in the activations of neural networks, by semi-nonnegative matrix factorization."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._unmix import __version__
from .activations import Activations
from .errors import DeviceError, FitInterrupted
from .features import Context, Feature, FeatureTable, Word
from .fit import Fit, load
from .fitting import default_options, fit

if TYPE_CHECKING:
    from . import models
    from ._directions import diff_means
    from .collecting import collect
    from .collection import Collection
    from .comparison import Comparison
    from .concepts import ConceptTable
    from .estimator import SemiNMF
    from .export import Export
    from .lens import LensTable
    from .report import Report
    from .steering import Steering, steer
    from .tree import FeatureTree

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

# What a fit does not need is imported at its first use. scikit-learn's classes alone take longer than everything else.
_MODULES = {
    "Collection": "collection",
    "Comparison": "comparison",
    "ConceptTable": "concepts",
    "Export": "export",
    "FeatureTree": "tree",
    "LensTable": "lens",
    "Report": "report",
    "SemiNMF": "estimator",
    "Steering": "steering",
    "collect": "collecting",
    "diff_means": "_directions",
    "models": "models",
    "steer": "steering",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f".{_MODULES[name]}", __name__)
    found = module if name == "models" else getattr(module, name)
    # From now on, the name is found without this function.
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
