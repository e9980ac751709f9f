"""A forward pass that runs only the layers behind a steered one.

The states before them do not depend on the steering, so they are computed once for each prompt.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch


@dataclasses.dataclass
class Prompts:
    """Prompts that run together, padded on the right, with the positions whose predictions are wanted."""

    ids: torch.Tensor  # [prompts, length]
    rows: torch.Tensor  # [positions]: the prompt of each
    columns: torch.Tensor  # [positions]: the token of it that predicts
    following: torch.Tensor  # [positions]: the id of the token behind it
    hidden: torch.Tensor  # [prompts, length, d_model]: the residual stream after the steered layer

    def __len__(self) -> int:
        return len(self.ids)


def autocast(model: torch.nn.Module) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision if the model's weights are in float32 and bfloat16 (see `mixed_precision`), else nothing."""
    kinds = {parameter.dtype for parameter in model.parameters()}
    if {torch.float32, torch.bfloat16} <= kinds:
        # A cache would keep the first weights of an autoencoder that is trained.
        return torch.autocast(next(model.parameters()).device.type, dtype=torch.bfloat16, cache_enabled=False)
    return contextlib.nullcontext()


def mixed_precision(model: torch.nn.Module) -> torch.nn.Module:
    """Keeps the weights of linear layers in bfloat16. The residual stream stays in float32.

    It changes the model in place, and returns it. A linear layer that shares its weights with an embedding gets
    its own.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight = torch.nn.Parameter(module.weight.detach().to(torch.bfloat16), requires_grad=False)
    return model


def logits_at(model: Any, ids: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """The logits [positions, vocabulary] in float32 at some positions of prompts `ids` [prompts, length]."""

    def wanted(_module: torch.nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return (arguments[0][rows, columns], *arguments[1:])

    # The unembedding of all positions would cost as much as the layers.
    handle = model.get_output_embeddings().register_forward_pre_hook(wanted)
    try:
        with autocast(model):
            return model(input_ids=ids, use_cache=False).logits.float()
    finally:
        handle.remove()


class LaterLayers:
    """Runs the layers behind a block of a causal language model of transformers.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        The model. It is left as it was after each call.
    blocks : sequence of torch.nn.Module
        The model's blocks in order. Each takes the residual stream as its first argument and returns it, alone or first
        in a tuple.
    layer : int
        The steered block. Directions are added to its output.
    """

    def __init__(self, model: Any, blocks: Sequence[torch.nn.Module], layer: int) -> None:
        if not 0 <= layer < len(blocks):
            raise ValueError(f"there is no layer {layer}; the model has layers 0 to {len(blocks) - 1}")
        self.model = model
        self.blocks = blocks
        self.layer = layer
        self.device = next(model.parameters()).device
        self._rest: tuple[Any, ...] | None = None

    def prepare(self, ids: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> Prompts:
        """Runs all layers once and keeps the residual stream after the steered one.

        Parameters
        ----------
        ids : sequence of sequences of int
            The tokens of each prompt.
        positions : sequence of sequences of int
            For each prompt, the positions whose predictions are wanted.
        """
        length = max(len(row) for row in ids)
        # A causal model does not see what stands to the right, so any token will do there.
        padded = torch.tensor([list(row) + [0] * (length - len(row)) for row in ids], device=self.device)
        pairs = [(row, column) for row, wanted in enumerate(positions) for column in wanted]
        rows, columns = (torch.tensor(values, device=self.device) for values in zip(*pairs, strict=True))
        following = padded[rows, (columns + 1).clamp(max=length - 1)]
        prompts = Prompts(padded, rows, columns, following, torch.empty(0))

        def keep(_module: torch.nn.Module, _arguments: Any, output: Any) -> None:
            self._rest = output[1:] if isinstance(output, tuple) else None
            prompts.hidden = (output[0] if isinstance(output, tuple) else output).detach()

        handle = self.blocks[self.layer].register_forward_hook(keep)
        try:
            with torch.no_grad():
                whole = logits_at(self.model, prompts.ids, prompts.rows, prompts.columns)
                handle.remove()
                again = self.logits(prompts)
        finally:
            handle.remove()
        gap, scale = (whole - again).abs().max().item(), whole.abs().max().item()
        if gap > 1e-3 * scale:
            raise ValueError(
                f"{type(self.model).__name__} cannot be run from layer {self.layer} on: its logits differ by {gap:.3g} "
                "from those of the whole model. Its blocks share more than the residual stream."
            )
        return prompts

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """The precision in which the model runs."""
        return autocast(self.model)

    def tensor(self, direction: np.ndarray) -> torch.Tensor:
        """A direction where the model is."""
        return torch.tensor(direction, dtype=torch.float32, device=self.device)

    def logits(self, prompts: Prompts, direction: torch.Tensor | None = None) -> torch.Tensor:
        """The logits [positions, vocabulary] in float32, with `direction` [d_model] added to every token."""
        hidden = prompts.hidden if direction is None else prompts.hidden + direction.to(prompts.hidden.dtype)
        with self._skipping(hidden):
            return logits_at(self.model, prompts.ids, prompts.rows, prompts.columns)

    @contextlib.contextmanager
    def _skipping(self, hidden: torch.Tensor) -> Iterator[None]:
        """The steered block returns `hidden`, and those before it do nothing."""
        skipped = self.blocks[: self.layer + 1]
        output = hidden if self._rest is None else (hidden, *self._rest)
        own = [block.__dict__.get("forward") for block in skipped]
        try:
            for block in skipped:
                block.forward = lambda *_arguments, **_options: output  # type: ignore[method-assign]
            yield
        finally:
            for block, forward in zip(skipped, own, strict=True):
                del block.forward
                if forward is not None:  # Some wrappers put one there.
                    block.forward = forward  # type: ignore[method-assign]


@contextlib.contextmanager
def adding(block: torch.nn.Module, directions: torch.Tensor) -> Iterator[None]:
    """Adds a direction [rows, d_model] of its own to each row's residual stream after a block."""

    def add(_module: torch.nn.Module, _arguments: Any, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        steered = hidden + directions[:, None].to(hidden.dtype)
        return (steered, *output[1:]) if isinstance(output, tuple) else steered

    handle = block.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
