"""Which direction of a dictionary steers towards a concept. Every choice sees the training prompts alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from .dictionary import Dictionary
from .strength import find_strengths

SEVERAL = 5
CANDIDATES = 3
TRIAL_KL = 0.2


@dataclasses.dataclass(frozen=True)
class Direction:
    """A direction of the residual stream, and where it comes from.

    `features` are the names of the dictionary's directions in it. `auc_training` and `auc_held_out` say how well it
    tells prompts of the concept from others.
    """

    residual: np.ndarray
    features: list[int]
    auc_training: float
    auc_held_out: float


Choice = Callable[[Dictionary, str, int], Direction]


def _one(dictionary: Dictionary, concept: str, feature: int) -> Direction:
    training, held_out = (float(dictionary.areas(concept, training=half)[feature]) for half in (True, False))
    return Direction(dictionary.residual[feature], [dictionary.name(feature)], training, held_out)


def _by_detection(dictionary: Dictionary, concept: str) -> np.ndarray:
    """The directions from the best to the worst detector of the concept."""
    layer, peaks = dictionary.layer, dictionary.peaks[dictionary.layer.half]
    inside = layer.labels[layer.half] == concept
    # Many directions may have the same area, 1 for one. The distance of the means decides among them.
    gap = peaks[inside].mean(0) - peaks[~inside].mean(0)
    return np.argsort(-(dictionary.areas(concept, training=True) + 1e-4 * gap), kind="stable")


def detects(dictionary: Dictionary, concept: str, _seed: int) -> Direction:
    """The direction that detects the concept best."""
    return _one(dictionary, concept, int(_by_detection(dictionary, concept)[0]))


def labelled(dictionary: Dictionary, concept: str, _seed: int) -> Direction:
    """The direction of the concept, in a dictionary that has one for each."""
    return _one(dictionary, concept, dictionary.layer.corpus.concepts.index(concept))


def at_random(dictionary: Dictionary, concept: str, seed: int) -> Direction:
    """A random direction of the dictionary."""
    generator = np.random.default_rng([seed, dictionary.layer.corpus.concepts.index(concept)])
    return _one(dictionary, concept, int(generator.integers(len(dictionary.atoms))))


def several(dictionary: Dictionary, concept: str, seed: int) -> Direction:
    """The best detectors together, each as strong as the concept's tokens use it more than neutral ones."""
    if dictionary.coefficients is None:
        raise ValueError("several directions together need the coefficients of the training tokens")
    layer = dictionary.layer
    labels = layer.labels[layer.activations.prompts[layer.rows]]
    best = _by_detection(dictionary, concept)[:SEVERAL]
    inside, neutral = (
        dictionary.coefficients[labels == label][:, best].mean(0) for label in (concept, layer.corpus.neutral)
    )
    weights = np.maximum(inside - neutral, 0)
    if not weights.any():
        return detects(dictionary, concept, seed)
    atom = (weights @ dictionary.atoms[best])[None]
    together = Dictionary(layer, dictionary.site, atom)
    return dataclasses.replace(
        _one(together, concept, 0), features=[dictionary.name(feature) for feature in best[weights > 0]]
    )


def steers(dictionary: Dictionary, concept: str, _seed: int) -> Direction:
    """The direction that steers training prompts best, among some that detect the concept or should raise its score.

    Candidates are the best detectors, and the directions along which the score rises fastest at no steering. Each is
    tried at a divergence of `TRIAL_KL`.
    """
    layer = dictionary.layer
    gradient = layer.training[concept].gradient(dictionary.residual.shape[1])
    fastest = np.argsort(-(dictionary.residual @ gradient), kind="stable")[:CANDIDATES]
    candidates = list(dict.fromkeys([*_by_detection(dictionary, concept)[:CANDIDATES].tolist(), *fastest.tolist()]))
    scores = [_trial(dictionary, concept, feature) for feature in candidates]
    return _one(dictionary, concept, candidates[int(np.argmax(scores))])


def _trial(dictionary: Dictionary, concept: str, feature: int) -> float:
    layer = dictionary.layer
    unit = dictionary.residual[feature]
    [found] = find_strengths(
        lambda strength: layer.divergence(strength * unit), [TRIAL_KL], layer.guess, tolerance=0.2, max_evaluations=4
    )
    own, others = layer.training[concept].rises(found.strength * unit)
    return float(own.mean() - others.mean())
