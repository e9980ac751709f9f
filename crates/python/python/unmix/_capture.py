"""Runs a model on batches and takes activations out of it."""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._adapter import Adapter, Site
from ._sequences import Batch

if TYPE_CHECKING:
    import torch


@dataclasses.dataclass
class Captured:
    """Activations of one layer for one batch.

    Attributes
    ----------
    rows : torch.Tensor of shape (rows, width)
        On the host, in the type of the files.
    token_norms, bos_norms : float
        Sums of norms.
    """

    rows: torch.Tensor
    token_norms: float
    bos_norms: float


class _AllSeen(Exception):
    """Leaves a forward pass when nothing that follows is of use."""


class Capture(contextlib.AbstractContextManager):
    """Hooks at one site of some layers, while it is entered."""

    def __init__(self, adapter: Adapter, layers: Sequence[int], site: Site, dtype: str) -> None:
        import torch

        self._adapter, self._layers, self._site = adapter, layers, site
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._largest = torch.finfo(self._dtype).max
        self._open = contextlib.ExitStack()
        self._seen: dict[int, Captured] = {}

    def __enter__(self) -> Capture:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._adapter.evaluation())
            for layer in self._layers:
                hook = self._adapter.hook(layer, self._site, functools.partial(self._take, layer))
                stack.callback(hook.remove)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.close()

    def run(self, batch: Batch) -> dict[int, Captured]:
        """The activations of a batch, for each layer.

        Raises
        ------
        ValueError
            If an activation is not finite, or too large for the type of the files.
        RuntimeError
            If the model did not pass through one of the layers.
        """
        import torch

        device = self._adapter.device
        self._batch, self._seen = batch, {}
        self._kept = torch.from_numpy(batch.kept).to(device)
        self._starts = torch.from_numpy(batch.starts).to(device)
        mask = None if batch.mask is None else torch.from_numpy(batch.mask).to(device)
        with contextlib.suppress(_AllSeen):
            self._adapter.forward(torch.from_numpy(batch.ids).to(device), mask)
        if missed := [layer for layer in self._layers if layer not in self._seen]:
            raise RuntimeError(
                f"the forward pass did not come through the hooked module of layer {missed[0]}; "
                "give another one with down_proj"
            )
        return self._seen

    def _take(self, layer: int, activations: torch.Tensor) -> None:
        import torch

        batch = self._batch
        flat = activations.detach().reshape(-1, activations.shape[-1])
        if len(flat) != batch.ids.size:
            raise ValueError(
                f"layer {layer} has activations for {len(flat)} tokens, but the batch has {batch.ids.size}"
            )
        kept = flat.index_select(0, self._kept.to(flat.device))
        if len(kept):
            low, high = (float(value) for value in torch.aminmax(kept))
            # False for NaN as well.
            if not (-self._largest <= low and high <= self._largest):
                raise self._refusal(layer, kept)
        starts = flat.index_select(0, self._starts.to(flat.device))
        self._seen[layer] = Captured(
            rows=kept.to(self._dtype).cpu().contiguous(),
            token_norms=_sum_of_norms(kept),
            bos_norms=_sum_of_norms(starts),
        )
        if self._adapter.may_leave_passes and len(self._seen) == len(self._layers):
            raise _AllSeen

    def _refusal(self, layer: int, kept: torch.Tensor) -> ValueError:
        """What is wrong with the first row that cannot be written."""
        row = int((~(kept.abs().amax(1) <= self._largest)).nonzero()[0])
        value = next(value for value in kept[row].float().tolist() if not abs(value) <= self._largest)
        ends = list(itertools.accumulate(count for _, _, count in self._batch.owners))
        prompt = self._batch.owners[bisect.bisect_right(ends, row)][0]
        place = f"layer {layer}, text {prompt.number} ({_beginning(prompt.text.text)!r})"
        if not math.isfinite(value):
            return ValueError(
                f"{place}: an activation is {value}; run the model in float32 or bfloat16, "
                "and look at its weights and this text"
            )
        name = str(self._dtype).removeprefix("torch.")
        return ValueError(
            f"{place}: an activation is {value:g}, and {name} holds numbers up to {self._largest:g}; "
            'give dtype="bfloat16" or dtype="float32"'
        )


def _sum_of_norms(rows: torch.Tensor) -> float:
    import torch

    return float(torch.linalg.vector_norm(rows, dim=1, dtype=torch.float32).double().sum())


def _beginning(text: str, length: int = 40) -> str:
    return text if len(text) <= length else text[:length] + "…"
