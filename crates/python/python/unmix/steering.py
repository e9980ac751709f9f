"""Steering: changes a model's activations by features of a fit, while it runs."""

from __future__ import annotations

import contextlib
import math
import numbers
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ._adapter import SITES, Adapter, Hook, Site, check_site
from ._directions import Weighted, feature_rows, moved, neuron_rows, own_rows, site_of, weights_of
from ._divergence import Divergence, find_strength
from ._origin import origin, warn_of_other_layer
from ._texts import Texts
from .models import adapt

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike

    from .fit import Fit

Mode = Literal["add", "ablate", "clamp"]
Positions = Literal["all", "new"]


class Steering(contextlib.AbstractContextManager):
    """A change of a model's activations, which acts while it is entered, or from `apply` to `remove`.

    It is made by `unmix.steer` and `unmix.Fit.steer`. Several may act at once. Those at one site act in the order in
    which they were applied. The model's weights are never touched.

    Attributes
    ----------
    layer : int
    site : {"neurons", "mlp_out", "resid"}
    mode : {"add", "ablate", "clamp"}
    positions : {"all", "new"}
    vectors : ndarray of shape (k, width), float32
        The directions in their units, in rows.
    weights : ndarray of shape (k,), float32
        How much of each direction strength 1 stands for.
    strength : float
        What all weights are multiplied by.
    kl : float or None
        The divergence that was found for this strength, in nats a token, if it was searched for.
    """

    def __init__(
        self,
        adapter: Adapter,
        layer: int,
        site: Site,
        vectors: np.ndarray,
        weights: np.ndarray,
        strength: float,
        mode: Mode,
        positions: Positions,
    ) -> None:
        self._adapter = adapter
        self.layer, self.site, self.vectors, self.weights = layer, site, vectors, weights
        self.strength, self.mode, self.positions = strength, mode, positions
        self.kl: float | None = None
        self._hooks: list[Hook] = []
        self._cached: int | None = 0
        self._added: torch.Tensor | None = None
        self._basis: torch.Tensor | None = None

    def apply(self) -> Steering:
        """Begins to act. Returns itself.

        Raises
        ------
        RuntimeError
            If it acts already.
        """
        if self._hooks:
            raise RuntimeError("this steering acts already; make another one to act twice")
        self._added = self._basis = None
        with contextlib.ExitStack() as undo:
            hooks = [self._adapter.hook(self.layer, self.site, self._edit)]
            undo.callback(hooks[0].remove)
            if self.positions == "new":
                hooks.append(self._adapter.hook_passes(self._begin_pass))
            undo.pop_all()
        self._hooks = hooks
        return self

    def remove(self) -> None:
        """Stops to act. The model is then as it was. A second call does nothing."""
        hooks, self._hooks = self._hooks, []
        for hook in hooks:
            hook.remove()

    def __enter__(self) -> Steering:
        return self.apply()

    def __exit__(self, *error: Any) -> None:
        self.remove()

    def __repr__(self) -> str:
        found = "" if self.kl is None else f", kl={self.kl:.3g}"
        return (
            f"Steering(layer={self.layer}, site={self.site!r}, mode={self.mode!r}, strength={self.strength:.4g}"
            f"{found}, directions={len(self.vectors)}, positions={self.positions!r})"
        )

    def _change(self) -> np.ndarray:
        """What is added to each token, or put in place of what was taken out: an array (width,), float32."""
        with np.errstate(over="ignore"):
            added = self.strength * (self.weights.astype(np.float64) @ self.vectors.astype(np.float64))
            narrow = added.astype(np.float32)
        if not np.isfinite(narrow).all():
            raise _TooLarge(self.strength, "float32")
        return narrow

    def _begin_pass(self, cached: int | None) -> None:
        if cached is None:
            raise ValueError(
                'positions="new" needs the cache of keys and values, which tells new tokens from the prompt; '
                'generate with the cache, or use positions="all"'
            )
        self._cached = cached

    def _edit(self, activations: torch.Tensor) -> torch.Tensor | None:
        import torch

        if self.positions == "new" and not self._cached:
            return None
        if self._added is None:
            added = torch.from_numpy(self._change()).to(activations.device)
            if not added.to(activations.dtype).isfinite().all():
                raise _TooLarge(self.strength, str(activations.dtype).removeprefix("torch."))
            self._added = added
        if self.mode == "add":
            return activations + self._added.to(activations.dtype)
        if self._basis is None:
            # What is taken out: the space of the rows.
            self._basis = torch.from_numpy(_basis(self.vectors)).to(activations.device)
        exact = activations.float()
        exact = exact - (exact @ self._basis) @ self._basis.T
        return (exact if self.mode == "ablate" else exact + self._added).to(activations.dtype)


class _TooLarge(ValueError):
    """A strength whose change the numbers of the model cannot hold."""

    def __init__(self, strength: float, dtype: str) -> None:
        super().__init__(
            f"the strength {strength:g} times the directions is not a finite number in {dtype}; give a smaller strength"
        )


def steer(
    model: Any,
    *,
    fit: Fit | None = None,
    feature: Weighted | None = None,
    neurons: Weighted | None = None,
    direction: ArrayLike | None = None,
    strength: float | None = None,
    kl: float | None = None,
    neutral: Texts | None = None,
    sign: Literal[1, -1] = 1,
    mode: Mode = "add",
    layer: int | None = None,
    site: Site | None = None,
    positions: Positions = "all",
    tokenizer: Any = None,
    down_proj: str | None = None,
) -> Steering:
    """Steers a model by features of a fit, by single neurons, or by directions of one's own.

    What is returned acts inside a ``with`` block, or from its ``apply()`` to its ``remove()``. It acts in every forward
    pass of the model, also in ``generate`` with a cache of keys and values.

    Parameters
    ----------
    model : object
        A model of transformers, TransformerLens or nnsight (see `unmix.models.adapt`).
    fit : Fit, optional
        Whose features are meant. `unmix.Fit.steer` gives it.
    feature : int, iterable of int, or mapping from int to float, optional
        A feature, several, or several with a strength each.
    neurons : int, iterable of int, or mapping from int to float, optional
        Single neurons in place of features, or neurons with a value each.
    direction : array of shape (d_ff,), (d_model,), (k, d_ff) or (k, d_model), optional
        Directions in place of features, in the space of the neurons or of the residual stream. See `diff_means`.
    strength : float, optional
        What all is multiplied by, by default 1. "ablate" has none. The unit of a feature is what the fit saw where the feature was
        strongest: its largest coefficient times the feature. So strength 1 adds to each token as much of the feature
        as its strongest token has. The unit of a neuron is 1, and a direction is its own unit.
    kl : float, optional
        Finds the strength, in place of `strength`: that at which the next token's distribution on neutral texts
        diverges from that of the unsteered model by so many nats a token, on average, to 2%. All tokens are then
        steered, whatever `positions` says. The first 64 tokens of each text count. This needs 4 bytes for each of
        these tokens and each token of the vocabulary.
    neutral : iterable of str, or path, optional
        Texts for `kl`, as for `unmix.collect`.
    sign : {1, -1}
        -1 takes the features away.
    mode : {"add", "ablate", "clamp"}
        "add" adds the directions. "ablate" takes the part along them out of the activations. "clamp" also puts that of
        the given strength in its place, the same for each token.
    layer : int, optional
        The layer, from 0. By default that of the fit's activations, if `unmix.collect` wrote them.
    site : {"neurons", "mlp_out", "resid"}, optional
        Where to act. By default the place that the directions are of. Features of neurons can act at all three. In most
        models this makes no difference with "add". In models with a norm after the down-projection (Gemma 2, OLMo 2),
        it does: "resid" then adds what the layer would write if the directions alone were active.
    positions : {"all", "new"}
        Steers all tokens, or only those that were generated, not the prompt. The first new token is predicted from the
        prompt alone, so it is unsteered.
    tokenizer : object, optional
        The tokenizer for `kl`. Models of TransformerLens and nnsight have it. For one of transformers, it is by default
        the one that ``AutoTokenizer`` finds under the model's name.
    down_proj : str, optional
        Path of the down-projection, with ``{layer}`` in it (see `unmix.models.adapt`).

    Returns
    -------
    Steering

    Raises
    ------
    ValueError
        If there is no such feature, neuron, layer or site, the direction has another width, the feature is dead, no
        strength has the divergence `kl`, or the strength is too large for the numbers of the model.

    Warns
    -----
    UserWarning
        If the fit is known to be of another layer than `layer`.

    Examples
    --------
    >>> ids = tokenizer("the cat", return_tensors="pt").input_ids
    >>> with unmix.steer(model, neurons={3: 5.0}, mode="clamp", layer=1):
    ...     tokens = model.generate(ids, max_new_tokens=4, do_sample=False)
    >>> tokens.shape
    torch.Size([1, 6])
    >>> with fit.steer(model, feature=0, strength=2.0, layer=1) as steering:
    ...     steered = model(ids).logits
    >>> steering
    Steering(layer=1, site='neurons', mode='add', strength=2, directions=1, positions='all')
    """
    _check_options(mode, positions, sign, site, strength, kl, neutral)
    if sum(given is not None for given in (feature, neurons, direction)) != 1:
        raise ValueError("give one of feature, neurons and direction")
    if feature is not None and fit is None:
        raise ValueError("a feature is one of a fit; call fit.steer, or give fit=")
    adapter = adapt(model, tokenizer, down_proj=down_proj)
    known_layer, found_site = origin(fit.run) if fit is not None else (None, None)
    known_site: Site | None = next((known for known in SITES if known == found_site), None)
    layer = known_layer if layer is None else layer
    if layer is None:
        raise ValueError("the layer is not known; give layer=, from 0")
    layer = adapter.check_layer(layer)
    warn_of_other_layer(known_layer, layer)
    source: Site = "neurons"
    if neurons is not None:
        weights = weights_of(neurons, "neurons")
        rows = neuron_rows(weights, adapter.d_ff(layer))
    elif fit is not None and feature is not None:
        weights = weights_of(feature, "feature")
        rows = feature_rows(fit, weights)
        source = site_of(adapter, layer, rows.shape[1], site, known_site)
    else:
        rows = own_rows(direction)
        weights = dict.fromkeys(range(len(rows)), 1.0)
        source = site_of(adapter, layer, rows.shape[1], site, None)
    vectors, acting = moved(adapter, layer, rows, source, site)
    with np.errstate(over="ignore"):
        factors = np.array(list(weights.values()), np.float32)
    first = sign * (1.0 if strength is None else float(strength))
    if not np.isfinite(factors).all():
        raise ValueError("a strength is too large for float32; give a smaller one")
    steering = Steering(adapter, layer, acting, vectors, factors, first, mode, positions)
    steering._change()
    if kl is not None and neutral is not None:
        _find(steering, adapter, kl, neutral, sign)
    return steering


def _find(steering: Steering, adapter: Adapter, kl: float, neutral: Texts, sign: int) -> None:
    """Sets the strength of a steering by its divergence."""
    divergence = Divergence(adapter, neutral)
    trial = Steering(
        adapter, steering.layer, steering.site, steering.vectors, steering.weights, 1.0, steering.mode, "all"
    )

    def at(strength: float) -> float:
        trial.strength = sign * strength
        try:
            with trial:
                return divergence.measure()
        except _TooLarge:
            return math.inf

    strength, steering.kl = find_strength(at, kl)
    steering.strength = sign * strength


def _check_options(
    mode: str, positions: str, sign: int, site: str | None, strength: float | None, kl: float | None, neutral: Any
) -> None:
    for name, value, known in (
        ("mode", mode, ("add", "ablate", "clamp")),
        ("positions", positions, ("all", "new")),
        ("sign", sign, (1, -1)),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}; it is one of {', '.join(map(repr, known))}")
    if site is not None:
        check_site(site)
    for name, number in (("strength", strength), ("kl", kl)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, numbers.Real)):
            raise TypeError(f"{name} is {number!r}; give a number")
    if strength is not None and not np.isfinite(strength):
        raise ValueError(f"strength is {strength}; give a finite number")
    if mode == "ablate" and strength is not None:
        raise ValueError('mode="ablate" takes all of the direction out, so it has no strength; leave strength out')
    if kl is None:
        if neutral is not None:
            raise ValueError("neutral is for kl; give kl= as well")
        return
    if strength is not None:
        raise ValueError("give strength or kl, not both: kl finds the strength")
    if mode != "add":
        raise ValueError(f'kl finds the strength of mode="add"; mode is {mode!r}')
    if not (np.isfinite(kl) and kl > 0):
        raise ValueError(f"kl is {kl}; give a divergence above 0, in nats a token")
    if neutral is None:
        raise ValueError("kl needs neutral texts to measure the divergence on; give neutral=")


def _basis(rows: np.ndarray) -> np.ndarray:
    """An orthonormal basis (width, r) of the space of the rows, float32."""
    _, sizes, basis = np.linalg.svd(rows.astype(np.float64), full_matrices=False)
    return np.ascontiguousarray(basis[sizes > 1e-7 * sizes.max(initial=0.0)].T, np.float32)
