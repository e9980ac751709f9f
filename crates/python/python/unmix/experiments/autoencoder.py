"""A TopK sparse autoencoder of Overcomplete, trained on the same activations as the fits."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import numpy as np

TOP_K = 10
BATCH_SIZE = 256
LEARNING_RATE = 1e-3
STEPS = 1000


def train(
    activations: np.ndarray, latents: int, seed: int, precision: contextlib.AbstractContextManager[Any]
) -> np.ndarray:
    """The decoder's directions [latents, width] of a TopK autoencoder.

    A token uses 10 latents. The encoder is Overcomplete's default, linear with batch normalisation. The training is
    1,000 steps of Adam on batches of 256 tokens at a learning rate of 1e-3. The activations' mean norm is scaled to the
    square root of their width.

    Parameters
    ----------
    activations : ndarray of shape (tokens, width)
        The training tokens.
    latents : int
        How many directions there are.
    seed : int
        Seed of the weights and of the order of the tokens.
    precision : context manager
        `torch.autocast`, or nothing, around the training.

    Raises
    ------
    ImportError
        If Overcomplete or PyTorch is not installed.
    """
    import torch

    try:
        from overcomplete.sae import TopKSAE, train_sae
    except ImportError as error:
        raise ImportError(
            f"sparse autoencoders need the package overcomplete ({error}); install it, or leave out the methods sae*"
        ) from error

    width = activations.shape[1]
    scaled = torch.tensor(activations, dtype=torch.float32)
    scaled *= width**0.5 / scaled.norm(dim=1).mean()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        autoencoder = TopKSAE(width, nb_concepts=latents, top_k=min(TOP_K, latents))
        # The last batch of an epoch is left out if it is short, because the encoder normalises over the batch.
        size = min(BATCH_SIZE, len(scaled))
        batches = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(scaled), size, shuffle=True, drop_last=True
        )
        optimizer = torch.optim.Adam(autoencoder.parameters(), lr=LEARNING_RATE)
        epochs = -(-STEPS // len(batches))
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), torch.enable_grad(), precision:
            train_sae(autoencoder, batches, _squared_error, optimizer, nb_epochs=epochs, monitoring=0)
    return autoencoder.get_dictionary().detach().numpy().copy()


def _squared_error(activations: Any, decoded: Any, *_rest: Any) -> Any:
    return (activations - decoded).square().mean()
