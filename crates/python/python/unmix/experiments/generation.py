"""Text that a steered model writes, and how the unsteered model finds it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .forward import LaterLayers, adding, autocast, logits_at

TEMPERATURE = 0.8
BATCH = 32


@torch.no_grad()
def write(
    later: LaterLayers,
    openings: Sequence[Sequence[int]],
    directions: np.ndarray,
    seeds: Sequence[int],
    special: Sequence[int],
    tokens: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Goes on from openings while directions are added to the residual stream.

    Parameters
    ----------
    openings : sequence of sequences of int
        One opening for each text, all of one length.
    directions : ndarray of shape (texts, d_model)
        What is added to the residual stream of every token.
    seeds : sequence of int
        The seed of each text. Texts of one seed and opening differ in nothing but the steering.
    special : sequence of int
        Tokens that are never written. The end of the text is among them, so that all texts have one length.
    tokens : int
        How many tokens are written.

    Returns
    -------
    tuple of Tensor
        The tokens [texts, tokens], and the mean negative log-probability [texts] of each text under the unsteered
        model.
    """
    rows = torch.tensor([list(opening) for opening in openings], device=later.device)
    vectors = torch.tensor(directions, dtype=torch.float32, device=later.device)
    uniform = torch.tensor(
        np.stack([np.random.default_rng(seed).random(tokens) for seed in seeds]), device=later.device
    )
    # Later versions of transformers have another name for it.
    name = "cache" if "cache" in inspect.signature(later.model.forward).parameters else "past_key_values"
    cache, following, written = None, rows, []
    with adding(later.blocks[later.layer], vectors), autocast(later.model):
        for step in range(tokens):
            output = later.model(input_ids=following, use_cache=True, **{name: cache})
            cache = output[name]
            logits = output.logits[:, -1].float() / TEMPERATURE
            logits[:, list(special)] = -torch.inf
            cumulative = logits.softmax(-1).double().cumsum(-1)
            drawn = torch.searchsorted(cumulative, uniform[:, step, None] * cumulative[:, -1:])
            following = drawn.clamp(max=logits.shape[1] - 1)
            written.append(following)
    texts = torch.cat(written, 1)
    return texts, _surprise(later.model, rows, texts)


def _surprise(model: Any, openings: torch.Tensor, written: torch.Tensor) -> torch.Tensor:
    """The mean negative log-probability [texts] of what was written behind the openings, without steering."""
    surprises = []
    begin, length = openings.shape[1], written.shape[1]
    for batch in torch.cat([openings, written], 1).split(BATCH):
        rows = torch.arange(len(batch), device=batch.device).repeat_interleave(length)
        columns = torch.arange(begin - 1, begin + length - 1, device=batch.device).repeat(len(batch))
        logits = logits_at(model, batch, rows, columns)
        chosen = logits.gather(1, batch[rows, columns + 1][:, None])[:, 0] - logits.logsumexp(-1)
        surprises.append(-chosen.view(len(batch), length).mean(1))
    return torch.cat(surprises)
