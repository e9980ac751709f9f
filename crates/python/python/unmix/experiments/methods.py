"""The methods that are compared: where their directions come from, and how one is chosen for a concept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import autoencoder, choices
from .dictionary import Dictionary
from .factorization import kept_fit

if TYPE_CHECKING:
    from .layer import Layer

Source = Callable[["Layer", int, int, Path], Dictionary]


@dataclasses.dataclass(frozen=True)
class Method:
    """A source of directions, and a choice among them.

    The source makes them from a layer, a number of components, a seed and a folder that keeps fits. `seeded` says
    whether another seed gives other directions.
    """

    source: Source
    choice: choices.Choice
    seeded: bool


def snmf(solver: str, *, site: str = "neurons", factor: int = 1, consensus: bool = False) -> Source:
    """Features of a factorization of the training tokens."""
    kind = "consensus" if consensus else solver

    def source(layer: Layer, n_components: int, seed: int, folder: Path) -> Dictionary:
        features = factor * n_components
        kept = folder / f"L{layer.number}-{site}-{kind}-{features}-s{seed}"
        fit = kept_fit(layer.training_matrix(site), kept, features, seed, solver=solver, consensus=consensus)
        alive = np.flatnonzero(fit.components.any(1))
        return Dictionary(layer, site, fit.components[alive], fit.coefficients[:, alive], alive)

    return source


def sae(*, site: str = "neurons", factor: int = 1) -> Source:
    """Decoder directions of a TopK sparse autoencoder of the training tokens."""

    def source(layer: Layer, n_components: int, seed: int, folder: Path) -> Dictionary:
        kept = folder / f"L{layer.number}-{site}-sae-{factor * n_components}-s{seed}.npy"
        if kept.exists():
            atoms = np.load(kept)
        else:
            atoms = autoencoder.train(layer.training_matrix(site), factor * n_components, seed, layer.later.precision())
            unfinished = kept.with_suffix(".part.npy")
            np.save(unfinished, atoms)
            unfinished.replace(kept)
        return Dictionary(layer, site, atoms)

    return source


def diff_means(site: str) -> Source:
    """For each concept the mean of its training tokens less that of the neutral ones."""

    def source(layer: Layer, _n_components: int, _seed: int, _folder: Path) -> Dictionary:
        neutral = layer.mean(site, layer.corpus.neutral)
        return Dictionary(
            layer, site, np.stack([layer.mean(site, concept) - neutral for concept in layer.corpus.concepts])
        )

    return source


def neurons(layer: Layer, _n_components: int, _seed: int, _folder: Path) -> Dictionary:
    """Every single neuron, with either sign."""
    one = np.eye(layer.activations.neurons.shape[1], dtype=np.float32)
    return Dictionary(layer, "neurons", np.concatenate([one, -one]))


METHODS: dict[str, Method] = {
    "snmf-hals": Method(snmf("hals"), choices.detects, seeded=True),
    "snmf-projected-ls": Method(snmf("projected-ls"), choices.detects, seeded=True),
    "diffmeans-neurons": Method(diff_means("neurons"), choices.labelled, seeded=False),
    "diffmeans-residual": Method(diff_means("residual"), choices.labelled, seeded=False),
    "sae": Method(sae(), choices.detects, seeded=True),
    "sae-8x": Method(sae(factor=8), choices.detects, seeded=True),
    "neuron": Method(neurons, choices.detects, seeded=False),
    "random": Method(snmf("hals"), choices.at_random, seeded=True),
    "snmf-hals-several": Method(snmf("hals"), choices.several, seeded=True),
    "snmf-hals-steered": Method(snmf("hals"), choices.steers, seeded=True),
    "snmf-hals-4x": Method(snmf("hals", factor=4), choices.detects, seeded=True),
    "snmf-hals-4x-steered": Method(snmf("hals", factor=4), choices.steers, seeded=True),
    "snmf-consensus": Method(snmf("hals", consensus=True), choices.detects, seeded=True),
    "sae-8x-steered": Method(sae(factor=8), choices.steers, seeded=True),
    "neuron-steered": Method(neurons, choices.steers, seeded=False),
    "snmf-hals-residual": Method(snmf("hals", site="residual"), choices.detects, seeded=True),
    "snmf-hals-residual-steered": Method(snmf("hals", site="residual"), choices.steers, seeded=True),
    "sae-8x-residual": Method(sae(site="residual", factor=8), choices.detects, seeded=True),
}

MAIN = (
    "snmf-hals",
    "snmf-projected-ls",
    "diffmeans-neurons",
    "diffmeans-residual",
    "sae",
    "sae-8x",
    "neuron",
    "random",
    "snmf-hals-steered",
)
"""The methods whose directions write text."""
