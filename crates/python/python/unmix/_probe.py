"""Figures of a few activations, by which a later run knows whether the model still gives the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ._capture import Capture
from ._sequences import PaddingSide, Prompt, batches

if TYPE_CHECKING:
    import torch

# Rows of each layer, and sums of each row.
ROWS, SUMS = 16, 4
# Differences of figures as a share of the row's norm, that other machines may cause.
TOLERANCES = {"float32": 5e-3, "float64": 5e-3}
TOLERANCE_OF_HALF_PRECISION = 3e-2

Figures = dict[str, list[list[float]]]


def probe(prompt: Prompt, capture: Capture, side: PaddingSide, pad: int) -> Figures:
    """The figures of a text that runs alone: for each layer and each of its first rows the norm and some sums.

    Each sum has signs of its own, so that other numbers of the same norm give other sums.
    """
    sequence = next(sequence for sequence in prompt.sequences if sequence.kept.any())
    alone = dataclasses.replace(prompt, sequences=[sequence])
    (batch,) = batches([alone], 1, side, pad)
    return {str(layer): _figures(captured.rows[:ROWS]) for layer, captured in capture.run(batch).items()}


def check_probe(then: Figures, now: Figures, weights_dtype: str, folder: Path) -> None:
    """Makes sure that the model gives what it gave when the folder was begun.

    Raises
    ------
    ValueError
        If figures differ by more than another machine explains.
    """
    tolerance = TOLERANCES.get(weights_dtype, TOLERANCE_OF_HALF_PRECISION)
    for layer, figures in then.items():
        before, after = np.array(figures), np.array(now[layer])
        # Rows of nearly nothing are compared by the size of the others.
        norms = np.maximum(before[:, 0], 1e-3 * before[:, 0].max())
        if before.shape != after.shape or not (abs(after - before) <= tolerance * norms[:, None]).all():
            raise ValueError(
                f"{folder} holds other activations than the model gives now: those of the first text differ in layer "
                f"{layer}. The model has other weights or settings, or hooks change it, such as those of fit.steer. "
                "Give the model as it was then, or another folder"
            )


def _figures(rows: torch.Tensor) -> list[list[float]]:
    numbers = rows.double().numpy()
    hashed = (np.arange(numbers.shape[1], dtype=np.uint64) * np.uint64(2654435761)) % np.uint64(1 << 32)
    signs = [1.0 - 2.0 * ((hashed >> np.uint64(20 + place)) & np.uint64(1)).astype(float) for place in range(SUMS)]
    columns = [np.linalg.norm(numbers, axis=1), *(numbers @ sign for sign in signs)]
    return [[float(f"{value:.6g}") for value in row] for row in np.stack(columns, axis=1)]
