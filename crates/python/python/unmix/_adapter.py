"""What `collect` and `steer` need of a language model, whatever library it comes from."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ._checksum import checksum

if TYPE_CHECKING:
    import torch

Site = Literal["neurons", "mlp_out", "resid"]
# In the order in which a forward pass comes to them.
SITES: tuple[Site, ...] = ("neurons", "mlp_out", "resid")

Edit = Callable[["torch.Tensor"], "torch.Tensor | None"]
"""A function of the activations at a site, [batch, tokens, width]. What it returns takes their place, if not None."""


@dataclasses.dataclass(frozen=True)
class Norm:
    """The norm before the unembedding.

    Attributes
    ----------
    kind : {"rms", "rms-plus-one", "layer", "layer-plus-one", "none"}
        What it divides by, and whether its weights are stored less 1. The names are those of ``unmix lens --norm``.
    weight, bias : ndarray of shape (d_model,), float32, or None
        As the model stores them.
    epsilon : float
    """

    kind: str
    weight: np.ndarray | None
    bias: np.ndarray | None
    epsilon: float


class Hook:
    """A hook in a model. `remove` takes it out again."""

    def __init__(self, remove: Callable[[], None]) -> None:
        self._remove: Callable[[], None] | None = remove

    def remove(self) -> None:
        """Takes the hook out. A second call does nothing."""
        remove, self._remove = self._remove, None
        if remove is not None:
            remove()


class Adapter(abc.ABC):
    """One interface to the models of several libraries. `unmix.models.adapt` makes it.

    Attributes
    ----------
    kind : {"transformers", "transformer_lens", "nnsight"}
        The library that the model is of.
    model : object
        The model as it was given.
    module : torch.nn.Module
        The module that is run.
    tokenizer : object or None
    num_layers : int
    d_model : int
        Width of the residual stream.
    may_leave_passes : bool
        Whether a hook may raise an exception to end a forward pass, and the next pass is as if nothing had been.
    """

    kind: str
    model: Any
    module: Any
    tokenizer: Any
    num_layers: int
    d_model: int
    may_leave_passes: bool = True

    # What each library does in its own way.

    @property
    @abc.abstractmethod
    def config(self) -> dict[str, Any]:
        """The model's settings."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The model's name, or an empty text if it has none."""

    @abc.abstractmethod
    def hook(self, layer: int, site: Site, edit: Edit) -> Hook:
        """Calls `edit` on the activations at a site in every forward pass.

        Parameters
        ----------
        layer : int
            From 0.
        site : {"neurons", "mlp_out", "resid"}
            The input of the MLP's down-projection, its output (before any norm that follows it), or the output of
            the whole layer.
        edit : callable
            Gets a tensor (batch, tokens, width). Returns a tensor that takes its place, or None.

        Returns
        -------
        Hook
            With the method ``remove()``.

        Raises
        ------
        ValueError
            If there is no such layer or site, or the layer has several down-projections.
        """

    @abc.abstractmethod
    def hook_passes(self, before: Callable[[int | None], None]) -> Hook:
        """Calls `before` ahead of each forward pass, with the number of tokens in the cache of keys and values.

        It is None if the pass has no cache and makes none.
        """

    @abc.abstractmethod
    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Runs the model on token ids (batch, tokens). Returns its logits (batch, tokens, vocabulary)."""

    @abc.abstractmethod
    def project(self, layer: int, neurons: torch.Tensor) -> torch.Tensor:
        """Sends neurons (k, d_ff) through the down-projection, without its bias. Returns a tensor (k, d_model)."""

    @abc.abstractmethod
    def write(self, layer: int, out: torch.Tensor) -> torch.Tensor:
        """What a layer adds to the residual stream if this comes out of its down-projection and nothing else.

        In most models it is `out` itself. Some have a norm or a factor in between. Takes and returns a tensor
        (k, d_model).
        """

    @abc.abstractmethod
    def down_projection(self, layer: int) -> np.ndarray:
        """The MLP's down-projection: an array of shape (d_model, d_ff), float32."""

    @abc.abstractmethod
    def unembedding(self) -> np.ndarray:
        """The unembedding: an array of shape (vocabulary, d_model), float32."""

    @abc.abstractmethod
    def final_norm(self) -> Norm:
        """The norm before the unembedding."""

    @property
    @abc.abstractmethod
    def max_positions(self) -> int | None:
        """The number of tokens that the model has positions for, if it is limited."""

    @property
    @abc.abstractmethod
    def vocabulary_size(self) -> int | None:
        """The number of token ids that the model knows, if it says so."""

    # What follows from that.

    def hook_neurons(self, layer: int, edit: Edit) -> Hook:
        """`hook` at the input of the down-projection."""
        return self.hook(layer, "neurons", edit)

    def hook_mlp_out(self, layer: int, edit: Edit) -> Hook:
        """`hook` at the output of the down-projection."""
        return self.hook(layer, "mlp_out", edit)

    def hook_residual(self, layer: int, edit: Edit) -> Hook:
        """`hook` at the output of the layer."""
        return self.hook(layer, "resid", edit)

    def width(self, layer: int, site: Site) -> int:
        """Numbers per token at a site."""
        check_site(site)
        return self.d_model if site != "neurons" else self.d_ff(layer)

    @abc.abstractmethod
    def d_ff(self, layer: int) -> int:
        """Neurons of a layer's MLP."""

    @property
    def device(self) -> torch.device:
        """The device that token ids go to."""
        return next(self.module.parameters()).device

    @property
    def dtype(self) -> str:
        """The type of the model's first weight, such as "float32"."""
        return str(next(self.module.parameters()).dtype).removeprefix("torch.")

    def check_layer(self, layer: int) -> int:
        """The layer's number as an int.

        Raises
        ------
        ValueError
            If the model has no such layer.
        """
        if isinstance(layer, bool) or not isinstance(layer, (int, np.integer)):
            raise TypeError(f"a layer is a whole number from 0 to {self.num_layers - 1}, not {layer!r}")
        if not 0 <= layer < self.num_layers:
            raise ValueError(
                f"there is no layer {layer}: the model has {self.num_layers} layers; give 0 to {self.num_layers - 1}"
            )
        return int(layer)

    @contextlib.contextmanager
    def evaluation(self) -> Iterator[None]:
        """Runs the model as for predictions: without dropout and gradients."""
        import torch

        training = [module for module in self.module.modules() if module.training]
        self.module.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for module in training:
                module.training = True

    def describe(self) -> dict[str, Any]:
        """What tells this model from others: class, name, hash of the settings, hash of all weights."""
        settings = json.dumps(self.config, sort_keys=True, default=str).encode()
        weights = hashlib.sha256()
        for name, parameter in self.module.named_parameters():
            weights.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}".encode())
            if not parameter.is_meta:
                weights.update(f" {checksum(parameter)} ".encode())
        return {
            "kind": self.kind,
            "class": type(self.module).__name__,
            "name": self.name,
            "config_sha256": hashlib.sha256(settings).hexdigest(),
            "weights_sha256": weights.hexdigest(),
        }

    def __repr__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return (
            f"<{self.kind} model {type(self.module).__name__}{name}: {self.num_layers} layers, d_model {self.d_model}>"
        )


def check_site(site: str) -> None:
    """Raises ValueError if there is no such site."""
    if site not in SITES:
        raise ValueError(f"unknown site {site!r}; it is one of {', '.join(map(repr, SITES))}")


def to_numpy(weight: torch.Tensor, what: str) -> np.ndarray:
    """A weight in float32 on the host.

    Raises
    ------
    ValueError
        If the weight is not loaded, or is quantized.
    """
    if weight.is_meta:
        raise ValueError(f"{what} is not in memory (it is offloaded); load the model without offloading")
    if not weight.is_floating_point():
        raise ValueError(f"{what} is quantized ({weight.dtype}); load the model in float32, bfloat16 or float16")
    return weight.detach().float().cpu().numpy()
