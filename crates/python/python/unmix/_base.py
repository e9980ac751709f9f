"""What the estimator inherits: scikit-learn's base classes, or the little of them that is needed where it is not installed."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.exceptions import NotFittedError
except ImportError:
    if TYPE_CHECKING:
        raise

    class NotFittedError(ValueError, AttributeError):  # type: ignore[no-redef]
        """The estimator has not been fitted yet."""

    class BaseEstimator:  # type: ignore[no-redef]
        """Parameters are the arguments of ``__init__``."""

        @classmethod
        def _names(cls) -> list[str]:
            return sorted(name for name in inspect.signature(cls.__init__).parameters if name != "self")

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            """The parameters by name."""
            return {name: getattr(self, name) for name in self._names()}

        def set_params(self, **params: Any) -> BaseEstimator:
            """Set parameters, and return the estimator."""
            known = self._names()
            for name, value in params.items():
                if name not in known:
                    raise ValueError(
                        f"Invalid parameter {name!r} for estimator {self}. Valid parameters are: {known!r}."
                    )
                setattr(self, name, value)
            return self

        def __repr__(self) -> str:
            defaults = inspect.signature(type(self).__init__).parameters
            changed = [(k, v) for k, v in self.get_params().items() if v is not defaults[k].default]
            return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in changed)})"

    class ClassNamePrefixFeaturesOutMixin:  # type: ignore[no-redef]
        """Names of outputs from the name of the class."""

        def get_feature_names_out(self, input_features: Any = None) -> Any:
            """``seminmf0``, ``seminmf1``, …"""
            import numpy as np

            name = type(self).__name__.lower()
            return np.asarray([f"{name}{i}" for i in range(self._n_features_out)], dtype=object)

    class TransformerMixin:  # type: ignore[no-redef]
        """Nothing: the estimator has ``fit_transform`` of its own."""


__all__ = ["BaseEstimator", "ClassNamePrefixFeaturesOutMixin", "NotFittedError", "TransformerMixin"]
