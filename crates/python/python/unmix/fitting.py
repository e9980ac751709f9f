"""Computes fits and encodings: arguments in, :class:`unmix.Fit` out."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _log, _unmix
from ._arguments import U64, flag, optional_flag, optional_real, optional_text, optional_whole, whole
from .activations import Activations, as_activations
from .errors import FitInterrupted
from .fit import Fit
from .progress import Progress, Reporter


def fit(
    X: Activations | ArrayLike | str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Any,
    n_components: int = 100,
    *,
    sparsity: float | None = None,
    solver: str | None = None,
    init: str | ArrayLike | None = None,
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
    random_state: int | np.random.RandomState | np.random.Generator | None = 0,
    preset: str | None = None,
    runs: int | str | None = None,
    device: str = "auto",
    memory: int | str | None = None,
    stream: bool | None = None,
    progress: bool | Callable[[Progress], object] = False,
    out: str | os.PathLike[str] | None = None,
    checkpoint_every: float | str | None = None,
) -> Fit:
    """Factorize activations X ≈ Y Z into sparse features Z and coefficients Y ≥ 0.

    The arguments that are not described here are those of :class:`unmix.SemiNMF`, and the result is its ``result_``. Same data, options and
    seed give the same bits as the command ``unmix fit``, on the same device.

    Parameters
    ----------
    X : array [n, d], path or paths, or Activations
        The activations, as :class:`unmix.Activations` takes them.
    n_components : int
        Number of features K, at most min(n, d).
    out : path, optional
        Folder in which the fit is saved, as by :meth:`Fit.save`. If the call is interrupted or killed, the same call goes on from the
        latest checkpoint, and ends with the same bits on the same device. If the fit is complete, it returns the fit that is there.
    checkpoint_every : float or str, optional
        Least time between two checkpoints, in seconds or with a unit, as ``"5m"``. 0 takes none. By default 60. Checkpoints are in the
        folder ``out`` with ``.partial`` at its end, until the fit is complete.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        If an option or the activations are impossible. If ``out`` has something else than this fit: a fit with other options or of other
        activations, or no fit.
    MemoryError
        If the fit needs more memory than it may take. It is refused before it begins.
    OSError
        If a file cannot be read, or was changed meanwhile.
    DeviceError
        If the device is not there, or is lost.
    FitInterrupted
        A KeyboardInterrupt, at Ctrl-C. Its attribute ``fit`` is the best until then, which is in ``out`` as well.

    Notes
    -----
    ``memory``, ``stream``, ``device``, ``progress`` and ``checkpoint_every`` may be others when a fit goes on. It goes on with the version of
    unmix and the kind of device with which it began. The command ``unmix fit --resume`` goes on with a fit of files that began in Python, and
    Python with one that the command began.

    Examples
    --------
    >>> import numpy as np, unmix
    >>> X = np.random.default_rng(0).normal(size=(200, 32)).astype(np.float32)
    >>> fit = unmix.fit(X, n_components=5, device="cpu")
    >>> fit.coefficients.shape, fit.components.shape
    ((200, 5), (5, 32))

    A job that may be killed saves the fit, and goes on when it is started again:

    >>> fit = unmix.fit(X, n_components=5, device="cpu", out="my-fit")
    >>> unmix.load("my-fit").components.shape
    (5, 32)
    """
    apart = ("X", "device", "progress", "out", "checkpoint_every")
    given = {name: value for name, value in locals().items() if name not in apart}
    if out is None and checkpoint_every is not None:
        raise ValueError("checkpoint_every: checkpoints are taken of a fit that is saved; give out='a-folder' as well")
    if out is not None and random_state is None:
        raise ValueError(
            "random_state=None: each call has another seed, so the same call could not go on with the fit in out; give a number"
        )
    every = _interval(checkpoint_every)
    result, stopped = compute(
        as_activations(X), given, device=device, progress=progress, out=out, checkpoint_every=every
    )
    if isinstance(stopped, KeyboardInterrupt):
        raise FitInterrupted(result, out) from stopped
    if stopped is not None:
        raise stopped
    return result


def compute(
    activations: Activations,
    given: dict[str, Any],
    *,
    device: str,
    progress: bool | Callable[[Progress], object],
    out: str | os.PathLike[str] | None = None,
    checkpoint_every: float | str | None = None,
) -> tuple[Fit, BaseException | None]:
    """A fit, and what stopped it early, if anything was raised meanwhile."""
    options = _options(given)
    reporter = Reporter(progress)
    try:
        native, stopped = _unmix.fit(
            activations._native, options, _device(device), out, checkpoint_every, reporter.callback
        )
    finally:
        reporter.close()
    return Fit(native, token_strings=activations.token_strings), stopped


def default_options(neurons: int, **given: Any) -> dict[str, Any]:
    """The options of a fit with the defaults of the engine in place of those that are not given.

    Parameters
    ----------
    neurons : int
        Number of neurons d, on which the default sparsity depends.
    **given
        Arguments of :func:`fit`, or of :class:`unmix.SemiNMF`.

    Raises
    ------
    TypeError
        If a fit has no such argument.
    ValueError
        If an option is impossible.

    Examples
    --------
    >>> import unmix
    >>> unmix.default_options(1536)["solver"]
    'hals'
    """
    known = [*inspect.signature(fit).parameters, "verbose"][1:]
    for name in given:
        if name not in known:
            raise TypeError(f"{name}: a fit has no such argument; it has {', '.join(known)}")
    return _unmix.complete_options(_options(given), whole("neurons", neurons, least=1))


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """The options as the engine takes them."""
    init = given.get("init")
    named = init is None or isinstance(init, str)
    return {
        "n_components": whole("n_components", given.get("n_components", 100)),
        "sparsity": optional_real("sparsity", given.get("sparsity")),
        "solver": optional_text("solver", given.get("solver")),
        "init": init if named else None,
        "init_coefficients": None if named else _coefficients(init),
        "penalty": optional_real("penalty", given.get("penalty")),
        "max_iter": optional_whole("max_iter", given.get("max_iter")),
        "tol": optional_real("tol", given.get("tol")),
        "patience": optional_whole("patience", given.get("patience")),
        "ridge": optional_real("ridge", given.get("ridge")),
        "sweeps": optional_whole("sweeps", given.get("sweeps")),
        "relaxation": optional_real("relaxation", given.get("relaxation")),
        "warm_up": optional_whole("warm_up", given.get("warm_up")),
        "unshrink": flag("unshrink", given.get("unshrink", False)),
        "debias": flag("debias", given.get("debias", False)),
        "revive": flag("revive", given.get("revive", True)),
        "seed": seed_of(given.get("random_state", 0)),
        "preset": optional_text("preset", given.get("preset")),
        "runs": _runs(given.get("runs")),
        "memory": _memory(given.get("memory")),
        "stream": optional_flag("stream", given.get("stream")),
    }


def seed_of(random_state: int | np.random.RandomState | np.random.Generator | None) -> int:
    """The seed of a fit. A generator is asked for a number, and None takes one from numpy's global generator."""
    if random_state is None:
        return int(np.random.randint(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return whole("random_state", random_state, most=U64)


def _memory(value: Any) -> int | str | None:
    return value if isinstance(value, str) else optional_whole("memory", value, most=U64)


def _interval(value: Any) -> float | str | None:
    return value if isinstance(value, str) else optional_real("checkpoint_every", value)


def _runs(value: Any) -> int | None:
    return _unmix.DEFAULT_RUNS if value == "auto" else optional_whole("runs", value, least=1)


def _device(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"device={value!r}: 'auto', 'cpu', 'gpu' or a part of an adapter's name is needed")
    # The word GPU or CPU in capitals is no name of an adapter.
    value = value.lower() if value.lower() in ("auto", "cpu", "gpu") else value
    if value != "cpu" and sys.platform == "linux" and "XDG_RUNTIME_DIR" not in os.environ:
        # Mesa's device-selection layer looks for a desktop session even if there is none, and libwayland then writes an error to
        # stderr. The layer only reorders devices, which the engine does itself.
        os.environ.setdefault("NODEVICE_SELECT", "1")
    return value


def _coefficients(init: Any) -> NDArray[np.float32]:
    coefficients = np.asarray(init, dtype=np.float32)
    if coefficients.ndim != 2:
        raise ValueError(f"init: coefficients [n, K] are needed, not an array of shape {coefficients.shape}")
    return np.ascontiguousarray(coefficients)


def encode(
    fit: Fit, activations: Activations, *, penalty: float | None, tol: float, device: str
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients [n, K], squared residuals [n] and squared norms [n] of activations for the features of a fit."""
    with _log.forwarded():
        return _unmix.encode(fit._native, activations._native, optional_real("penalty", penalty), tol, _device(device))
