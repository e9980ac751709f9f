"""Fits of the training tokens. Each is kept in a folder that `unmix.load` and the command open."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..fit import Fit, load
from ..fitting import fit

CONSENSUS_RUNS = 30


def kept_fit(matrix: np.ndarray, folder: Path, n_components: int, seed: int, *, solver: str, consensus: bool) -> Fit:
    """The fit in a folder, which is computed if it is not there.

    Parameters
    ----------
    matrix : ndarray of shape (tokens, width)
        The training tokens.
    folder : Path
        Where the fit is kept.
    n_components : int
        Number of features. A small matrix gets no more than its smaller side.
    seed : int
        Seed of the fit.
    solver : str
        The solver.
    consensus : bool
        Whether the features are those that 30 runs agree on.
    """
    if not folder.exists():
        features = min(n_components, *matrix.shape)
        runs = CONSENSUS_RUNS if consensus else None
        fit(matrix, features, solver=solver, random_state=seed, runs=runs).save(folder)
    return load(folder)
