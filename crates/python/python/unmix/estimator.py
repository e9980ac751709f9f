"""The estimator, in scikit-learn's words."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _input
from ._base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, NotFittedError, TransformerMixin
from .activations import Activations, as_activations
from .errors import FitInterrupted
from .fit import Fit
from .fitting import compute, encode
from .progress import Progress


class SemiNMF(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Semi-nonnegative matrix factorization X ≈ Y Z: coefficients Y ≥ 0 and sparse, signed features Z.

    An argument that is None takes the default of the engine, which is that of the command ``unmix fit``; :func:`unmix.default_options`
    tells it.

    Parameters
    ----------
    n_components : int
        Number of features K, at most min(n, d).
    sparsity : float, optional
        Share of the neurons that each feature keeps, above 0 and up to 1. By default 140 neurons, but at most 20% and at least 1% of
        all; 1% with solvers other than hals.
    solver : {"hals", "projected-ls", "mu", "paper"}, optional
        How features and coefficients are updated. By default hals: selective features. Its objective never rises while
        no two features have a cosine above 0.8.
    init : {"kmeans", "random", "svd"} or array [n, K], optional
        Where the fit starts. An array is coefficients of at least 0. By default kmeans.
    penalty : float, optional
        Weight of the penalty on coefficients, for hals; larger makes them sparser. By default 0.06 up to 100
        components, and 0.06 * (100 / n_components) ** 0.25 with more.
    max_iter : int, optional
        Most iterations. With ``runs``, the number of iterations of each run: by default 10, and four more if the runs
        agree too little.
    tol : float, optional
        The fit stops when the error falls by less than this share of itself within ``patience`` iterations, or with hals the error and
        penalty together. 0 runs them all.
    patience : int, optional
        Iterations over which ``tol`` is judged.
    ridge, sweeps, relaxation : optional
        As ``unmix fit --help`` says.
    warm_up : int, optional
        Iterations on a sample of the tokens before those of the fit, with ``init="kmeans"``. By default 22 with a penalty, which falls
        meanwhile, and 8 without one. 0 runs none.
    unshrink : bool
        Find the coefficients above zero again at the end, without the penalty of ``solver="hals"``, which makes them smaller. The error
        falls, and the features stay the same. A consensus always does so.
    debias : bool
        Refit the values of the features at the end.
    revive : bool
        Start features anew that no token uses any more.
    random_state : int, RandomState, Generator or None
        Seed of everything random. None takes one from numpy's global generator.
    preset : {"paper"}, optional
        Settings that belong together; each of them can be changed by its own argument.
    runs : int or "auto", optional
        The features that this many short runs from independent starts agree on, instead of those of one run.
    device : str
        ``"auto"`` is a GPU if there is one, else the CPU; ``"cpu"``; ``"gpu"``; or a part of the name of an adapter.
    memory : int or str, optional
        Most memory that the fit takes, in bytes or with a unit, as ``"8GiB"``. By default 80% of what is free.
    stream : bool, optional
        Whether activations are read again in every pass, which takes little memory; the result is the same. By default if they do not
        fit.
    progress : bool or callable
        Show a bar (of tqdm, if it is installed), or call this when a stage begins and after each iteration, with a dictionary:
        ``stage``, ``step`` of ``steps`` within it, ``iteration`` of ``max_iter``, ``relative_error``, ``best_relative_error``,
        ``dead_features``, ``seconds``. If it raises StopIteration, the fit stops after the iteration and keeps the best. If it raises
        something else, the fit stops and ``fit`` raises that.
    verbose : int
        Above 0, as ``progress=True``.

    Attributes
    ----------
    components_ : float32 [K, d]
        Features Z.
    result_ : unmix.Fit
        Everything about the fit, with its coefficients, and methods to understand it.
    reconstruction_err_ : float
        Frobenius norm of X − YZ.
    relative_error_ : float
        ‖X − YZ‖² / ‖X‖².
    loss_curve_ : float64 [n_iter_]
        ‖X − YZ‖² after each iteration.
    reproducibility_ : float64 [K]
        With ``runs``: how well the runs agree on each feature, from 0 to 1.
    n_iter_ : int
        Number of iterations.
    n_components_ : int
        Number of features.
    n_features_in_ : int
        Number of neurons d.
    feature_names_in_ : object [d]
        Names of the columns, if X had names that are all strings.

    Notes
    -----
    An estimator takes no checkpoints, because its clones would share their folder. :func:`unmix.fit` does, with ``out``, and
    :meth:`from_fit` makes an estimator of its fit.

    At Ctrl-C a fit stops after its iteration. ``fit`` raises :class:`unmix.FitInterrupted`, a KeyboardInterrupt, and the attributes hold
    the best until then.

    Examples
    --------
    >>> import numpy as np, unmix
    >>> X = np.random.default_rng(0).normal(size=(200, 32)).astype(np.float32)
    >>> model = unmix.SemiNMF(n_components=5, device="cpu")
    >>> Y = model.fit_transform(X)
    >>> Y.shape, model.components_.shape, model.inverse_transform(Y).shape
    ((200, 5), (5, 32), (200, 32))
    """

    def __init__(
        self,
        n_components: int = 100,
        *,
        sparsity: float | None = None,
        solver: str | None = None,
        init: str | NDArray[Any] | None = None,
        penalty: float | None = None,
        max_iter: int | None = None,
        tol: float | None = None,
        patience: int | None = None,
        ridge: float | None = None,
        sweeps: int | None = None,
        relaxation: float | None = None,
        warm_up: int | None = None,
        unshrink: bool = False,
        debias: bool = False,
        revive: bool = True,
        random_state: Any = 0,
        preset: str | None = None,
        runs: int | str | None = None,
        device: str = "auto",
        memory: int | str | None = None,
        stream: bool | None = None,
        progress: bool | Callable[[Progress], object] = False,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.sparsity = sparsity
        self.solver = solver
        self.init = init
        self.penalty = penalty
        self.max_iter = max_iter
        self.tol = tol
        self.patience = patience
        self.ridge = ridge
        self.sweeps = sweeps
        self.relaxation = relaxation
        self.warm_up = warm_up
        self.unshrink = unshrink
        self.debias = debias
        self.revive = revive
        self.random_state = random_state
        self.preset = preset
        self.runs = runs
        self.device = device
        self.memory = memory
        self.stream = stream
        self.progress = progress
        self.verbose = verbose

    @classmethod
    def from_fit(cls, fit: Fit) -> SemiNMF:
        """An estimator that is fitted already, for instance by the command.

        Its parameters are the options of the fit. Of a consensus, those that its folder does not tell are None.
        """
        options, consensus = fit.run["options"], fit.run.get("consensus")
        names = ["sparsity", "solver", "ridge", "sweeps", "relaxation", "unshrink", "debias", "revive"]
        params = {name: options[name] for name in names}
        params.update(n_components=options["rank"], random_state=options["seed"])
        if options["init"] != "given":
            params["init"] = options["init"]
        if consensus is not None:
            params.update(runs=consensus["runs"])
            if not consensus.get("more_iterations"):
                # Runs whose number of iterations is set do not go on.
                params.update(max_iter=consensus["iterations_each"])
        else:
            params.update(max_iter=options["max_iterations"], tol=options["tolerance"], patience=options["patience"])
            params.update(warm_up=options["warm_up"])
        # A consensus of earlier versions, which was not unshrunk, tells the penalty of its result alone.
        if options["solver"] == "hals" and (consensus is None or options["unshrink"]):
            params["penalty"] = options["penalty"]
        model = cls(**params)
        model._take(fit)
        return model

    def fit(self, X: Any, y: None = None) -> SemiNMF:
        """Find features of activations.

        Parameters
        ----------
        X : array [n, d], path or paths, or Activations
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError, MemoryError, OSError, DeviceError, FitInterrupted
            As :func:`unmix.fit`.
        """
        activations = as_activations(X)
        given = self.get_params(deep=False)
        fit, stopped = compute(
            activations,
            given,
            device=self.device,
            progress=self.progress or self.verbose > 0,
        )
        self._take(fit)
        self._take_names(X)
        if isinstance(stopped, KeyboardInterrupt):
            raise FitInterrupted(fit) from stopped
        if stopped is not None:
            raise stopped
        return self

    def fit_transform(self, X: Any, y: None = None) -> NDArray[np.float32]:
        """Find features of activations, and return the coefficients Y, float32 [n, K]."""
        return self.fit(X).result_.coefficients

    def transform(self, X: Any) -> NDArray[np.float32]:
        """The coefficients of activations for the features, float32 [n, K], at least 0.

        They are nonnegative least squares, with the penalty of the fit if it had one. If the fit is unshrunk, those above zero are then found
        again without the penalty.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If X has another number of neurons, or is not finite.
        """
        return encode(self._result(), self._checked(X), penalty=None, tol=1e-5, device=self.device)[0]

    def inverse_transform(self, Y: Any) -> NDArray[np.float32]:
        """The activations YZ of coefficients, float32 [n, d].

        Parameters
        ----------
        Y : array [n, K]
        """
        components = self._result().components
        Y = np.asarray(Y, dtype=np.float32)
        if Y.ndim != 2 or Y.shape[1] != components.shape[0]:
            raise ValueError(f"Y: coefficients [n, {components.shape[0]}] are needed, not an array of shape {Y.shape}")
        return Y @ components

    def score(self, X: Any, y: None = None) -> float:
        """The relative error of X, negated: −‖X − YZ‖² / ‖X‖² with Y as ``transform`` finds it. 0 is perfect."""
        _, residuals, norms = encode(self._result(), self._checked(X), penalty=None, tol=1e-5, device=self.device)
        energy = float(norms.sum())
        return -float(residuals.sum()) / energy if energy > 0 else 0.0

    def save(self, path: str | os.PathLike[str], force: bool = False) -> None:
        """Write the fit to a folder, as :meth:`unmix.Fit.save` does."""
        self._result().save(path, force)

    @property
    def _n_features_out(self) -> int:
        return self.components_.shape[0]

    def _take(self, fit: Fit) -> None:
        """Take the result of a fit."""
        run = fit.run
        self.result_ = fit
        self.components_ = fit.components
        self.n_components_, self.n_features_in_ = fit.components.shape
        self.relative_error_ = float(run["relative_error"])
        self.reconstruction_err_ = float(np.sqrt(run["relative_error"] * run["squared_norm"]))
        self.n_iter_ = int(run["iterations"])
        self.loss_curve_ = np.asarray(run["loss_curve"], dtype=np.float64)
        self.__dict__.pop("reproducibility_", None)
        if "reproducibility" in fit.statistics:
            self.reproducibility_ = fit.statistics["reproducibility"]

    def _take_names(self, X: Any) -> None:
        names = _input.feature_names_of(X)
        self.__dict__.pop("feature_names_in_", None)
        if names is not None:
            self.feature_names_in_ = names

    def _result(self) -> Fit:
        if not hasattr(self, "result_"):
            raise NotFittedError(
                f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with appropriate arguments before using this "
                "estimator."
            )
        return self.result_

    def _checked(self, X: Any) -> Activations:
        """Activations with the columns of those that were fitted."""
        self._check_names(_input.feature_names_of(X))
        activations = as_activations(X)
        found = activations.shape[1]
        if found != self.n_features_in_:
            raise ValueError(
                f"X has {found} features, but {type(self).__name__} is expecting {self.n_features_in_} features as input"
            )
        return activations

    def _check_names(self, names: NDArray[np.object_] | None) -> None:
        """As scikit-learn, warn if only one of both has names, and refuse others."""
        fitted = getattr(self, "feature_names_in_", None)
        own = type(self).__name__
        if fitted is None and names is not None:
            warnings.warn(f"X has feature names, but {own} was fitted without feature names", UserWarning, stacklevel=4)
        elif fitted is not None and names is None:
            warnings.warn(
                f"X does not have valid feature names, but {own} was fitted with feature names",
                UserWarning,
                stacklevel=4,
            )
        elif fitted is not None and names is not None and list(fitted) != list(names):
            raise ValueError(_other_names(list(fitted), list(names)))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "result_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _other_names(fitted: list[str], names: list[str]) -> str:
    """What is wrong with the names of columns, in scikit-learn's words."""
    message = "The feature names should match those that were passed during fit.\n"
    unseen = sorted(set(names) - set(fitted))
    missing = sorted(set(fitted) - set(names))

    def listed(found: list[str]) -> str:
        shown = "".join(f"- {name}\n" for name in found[:5])
        return shown + ("- ...\n" if len(found) > 5 else "")

    if unseen:
        message += f"Feature names unseen at fit time:\n{listed(unseen)}"
    if missing:
        message += f"Feature names seen at fit time, yet now missing:\n{listed(missing)}"
    if not unseen and not missing:
        message += "Feature names must be in the same order as they were in fit.\n"
    return message
