"""One layer of a model: its activations on the corpus, its weights, and the prompts on which steering is measured."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .corpus import Corpus
from .forward import LaterLayers, autocast
from .measures import NEUTRAL_LENGTH, Divergence, Scores

SITES = ("neurons", "residual")
BATCH = 16


@dataclasses.dataclass
class Activations:
    """The tokens of the corpus, without the begin-of-text token.

    `neurons` [tokens, d_ff] is what the down-projection reads, `residual` [tokens, d_model] is the residual stream
    after the block, and `prompts` [tokens] is the prompt of each token.
    """

    neurons: np.ndarray
    residual: np.ndarray
    prompts: np.ndarray


def collect(
    model: Any, block: torch.nn.Module, down: torch.nn.Module, ids: Sequence[Sequence[int]], begin: int
) -> Activations:
    """Runs the model over all prompts and keeps what one block computes."""
    caught: dict[str, torch.Tensor] = {}
    handles = [
        down.register_forward_pre_hook(lambda _module, arguments: caught.__setitem__("neurons", arguments[0])),
        block.register_forward_hook(
            lambda _module, _arguments, output: caught.__setitem__(
                "residual", output[0] if isinstance(output, tuple) else output
            )
        ),
    ]
    device = next(model.parameters()).device
    order = sorted(range(len(ids)), key=lambda prompt: len(ids[prompt]))
    kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    try:
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            length = max(len(ids[prompt]) for prompt in batch)
            padded = torch.tensor(
                [list(ids[prompt]) + [0] * (length - len(ids[prompt])) for prompt in batch], device=device
            )
            with torch.no_grad(), autocast(model):
                model.base_model(input_ids=padded, use_cache=False)
            for row, prompt in enumerate(batch):
                text = slice(begin, len(ids[prompt]))
                kept[prompt] = tuple(caught[site][row, text].float().cpu().numpy() for site in SITES)  # type: ignore[assignment]
    finally:
        for handle in handles:
            handle.remove()
    neurons, residual = (np.concatenate([kept[prompt][site] for prompt in range(len(ids))]) for site in range(2))
    return Activations(neurons, residual, np.repeat(np.arange(len(ids)), [len(row) - begin for row in ids]))


class Layer:
    """What the methods need to find directions in a layer, and what measures them."""

    def __init__(
        self,
        model: Any,
        blocks: Sequence[torch.nn.Module],
        down: torch.nn.Module,
        number: int,
        corpus: Corpus,
        ids: Sequence[Sequence[int]],
        *,
        begin: int,
        neutral_prompts: int,
        prompts: int,
    ) -> None:
        self.number = number
        self.corpus = corpus
        self.later = LaterLayers(model, blocks, number)
        self.activations = collect(model, blocks[number], down, ids, begin)
        self.down_projection = _down_projection(down)
        self.labels = np.array(corpus.labels)
        self.half = corpus.training
        self.rows = self.half[self.activations.prompts]
        self.norm = float(np.linalg.norm(self.activations.residual, axis=1).mean())
        # The strength that is tried first.
        self.guess = 0.1 * self.norm
        neutral = [ids[prompt] for prompt in corpus.where(corpus.neutral, training=False)]
        neutral = [row for row in neutral if len(row) >= begin + NEUTRAL_LENGTH]
        if not neutral:
            raise ValueError(
                f"no held-out prompt of the label {corpus.neutral!r} has {NEUTRAL_LENGTH} tokens, as the strength needs"
            )
        self.divergence = Divergence(self.later, neutral[:neutral_prompts], begin)
        self.openings = [row[: begin + 4] for row in neutral[:neutral_prompts]]
        self._prompts = lambda training: Scores(self.later, corpus, ids, begin, training=training, size=prompts)

    @functools.cached_property
    def held_out(self) -> Scores:
        """The held-out prompts, on which directions are scored."""
        return self._prompts(False)

    @functools.cached_property
    def training(self) -> Scores:
        """The training prompts, on which directions may be chosen by steering."""
        return self._prompts(True)

    def training_matrix(self, site: str) -> np.ndarray:
        """The activations [training tokens, width] of a site."""
        return np.ascontiguousarray(getattr(self.activations, site)[self.rows])

    def mean(self, site: str, label: str) -> np.ndarray:
        """The mean activation [width] over the training tokens of a label."""
        chosen = self.rows & (self.labels[self.activations.prompts] == label)
        return getattr(self.activations, site)[chosen].mean(0)

    def to_residual(self, site: str, atoms: np.ndarray) -> np.ndarray:
        """Directions [K, width] of a site as unit directions [K, d_model] of the residual stream."""
        directions = atoms @ self.down_projection.T if site == "neurons" else atoms
        return directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)

    def peaks(self, site: str, atoms: np.ndarray) -> np.ndarray:
        """The largest cosine [prompts, K] of a prompt's tokens with each direction of a site."""
        values = getattr(self.activations, site)
        unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
        cosines = unit @ (atoms / np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), 1e-12)).T.astype(np.float32)
        starts = np.flatnonzero(np.r_[True, np.diff(self.activations.prompts) > 0])
        return np.maximum.reduceat(cosines, starts)


def _down_projection(down: Any) -> np.ndarray:
    weight = down.weight.detach().float().cpu().numpy()
    # A linear layer keeps [outputs, inputs]; GPT-2's Conv1D keeps [inputs, outputs].
    return weight if isinstance(down, torch.nn.Linear) else np.ascontiguousarray(weight.T)


def modules(model: Any, layer: int) -> tuple[Sequence[torch.nn.Module], torch.nn.Module]:
    """The blocks of a model, and the down-projection of one of them."""
    blocks = next(
        module
        for module in model.modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == model.config.num_hidden_layers
    )
    return blocks, blocks[layer].mlp.down_proj
