"""One layer of a model: its activations on the corpus, its weights, and the prompts on which steering is measured."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import torch

from .._adapter import Adapter
from .._transformers import TransformersAdapter
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


def collect(adapter: Adapter, layer: int, ids: Sequence[Sequence[int]], begin: int) -> Activations:
    """Runs the model over all prompts and keeps what one layer computes."""
    caught: dict[str, torch.Tensor] = {}
    hooks = [
        adapter.hook_neurons(layer, lambda values: caught.update(neurons=values)),
        adapter.hook_residual(layer, lambda values: caught.update(residual=values)),
    ]
    order = sorted(range(len(ids)), key=lambda prompt: len(ids[prompt]))
    kept: dict[int, list[np.ndarray]] = {}
    try:
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            length = max(len(ids[prompt]) for prompt in batch)
            padded = [list(ids[prompt]) + [0] * (length - len(ids[prompt])) for prompt in batch]
            with torch.no_grad(), autocast(adapter.module):
                adapter.module.base_model(input_ids=torch.tensor(padded, device=adapter.device), use_cache=False)
            for row, prompt in enumerate(batch):
                text = slice(begin, len(ids[prompt]))
                kept[prompt] = [caught[site][row, text].float().cpu().numpy() for site in SITES]
    finally:
        for hook in hooks:
            hook.remove()
    neurons, residual = (np.concatenate([kept[prompt][site] for prompt in range(len(ids))]) for site in range(2))
    return Activations(neurons, residual, np.repeat(np.arange(len(ids)), [len(row) - begin for row in ids]))


class Layer:
    """What the methods need to find directions in a layer, and what measures them."""

    def __init__(
        self,
        adapter: TransformersAdapter,
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
        self.later = LaterLayers(adapter.module, adapter.blocks, number)
        self.activations = collect(adapter, number, ids, begin)
        self._adapter = adapter
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
        directions = atoms
        if site == "neurons":
            out = torch.from_numpy(atoms @ self._adapter.down_projection(self.number).T)
            directions = self._adapter.write(self.number, out.to(self._adapter.device)).float().cpu().numpy()
        return directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)

    def peaks(self, site: str, atoms: np.ndarray) -> np.ndarray:
        """The largest cosine [prompts, K] of a prompt's tokens with each direction of a site."""
        values = getattr(self.activations, site)
        unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
        cosines = unit @ (atoms / np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), 1e-12)).T.astype(np.float32)
        starts = np.flatnonzero(np.r_[True, np.diff(self.activations.prompts) > 0])
        return np.maximum.reduceat(cosines, starts)
