"""Scores of a fit whose training tokens come from half of some labelled prompts. The other half is held out.

Means are over features unless said otherwise.

error         ||X - Y Z||^2 / ||X||^2 over the training tokens.
purity        Of the 25 training tokens that use a feature most, the share from prompts of the most frequent concept among them. Tokens
              of equal coefficient are ordered by their cosine with the feature.
token purity  Of those 25, the share that is the most frequent token.
either        The larger of the two, feature by feature: a feature may stand for a concept or for a token.
auc           Mean over concepts: the feature that ranks the training prompts best, its area under the ROC curve on held-out prompts.
scd           Median of S_CD: the logarithm of a feature's mean peak cosine on held-out prompts of its concept over that on prompts of the
              other concepts. The peak cosine of a prompt is the largest cosine of its tokens with the feature, and the concept of a feature
              is chosen on the training prompts.
scd by use    The same with coefficients: the mean over prompts of the largest coefficient that a token of the prompt has at the feature,
              found by nonnegative coordinate descent without a penalty.
active        Mean over training tokens: features with a coefficient above zero.
thin          Share of features that fewer than 25 training tokens use.
duplicates    Share of features that have a cosine above 0.9 with another feature.
dead          Features that no training token uses.
stability     Mean cosine of the best one-to-one matching of the features of two fits. It is signed, because coefficients are never
              negative.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from scipy.optimize import linear_sum_assignment

EXAMPLES = 25
DUPLICATE = 0.9


class Labelled:
    """Activations of labelled prompts, and which of them are for training."""

    def __init__(self, activations, corpus):
        self.tensors = load_file(activations)
        missing = {"activations", "token_ids", "prompt_ids"} - self.tensors.keys()
        if missing:
            raise SystemExit(f"{activations} has no {', '.join(sorted(missing))}; they are needed beside the activations")
        names = [json.loads(line)["concept"] for line in Path(corpus).read_text(encoding="utf-8").splitlines() if line.strip()]
        self.order = sorted(set(names))
        self.concepts = np.array([self.order.index(name) for name in names])
        self.prompts = self.tensors["prompt_ids"].astype(int)
        if self.prompts.max() >= len(names):
            raise SystemExit(f"{activations} has tokens of prompt {self.prompts.max()}, but {corpus} has {len(names)} prompts")
        # Every other prompt of each concept is for training.
        self.half = np.zeros(len(names), bool)
        for concept in range(len(self.order)):
            self.half[np.flatnonzero(self.concepts == concept)[::2]] = True
        self.rows = self.half[self.prompts]
        self.x = self.tensors["activations"].astype(np.float32)
        self.norms = np.maximum(np.linalg.norm(self.x, axis=1, keepdims=True), 1e-9)

    def training(self):
        """The tensors of the training tokens."""
        return {name: np.ascontiguousarray(values[self.rows]) for name, values in self.tensors.items()}


def area_under_curve(scores, positive):
    """Area under the ROC curve of each column of `scores` [prompts, features]."""
    ranks = scores.argsort(0).argsort(0) + 1.0
    inside, outside = positive.sum(), (~positive).sum()
    return (ranks[positive].sum(0) - inside * (inside + 1) / 2) / (inside * outside)


def modal_share(values):
    """The share of the most frequent value in each row."""
    return np.array([np.unique(row, return_counts=True)[1].max() / len(row) for row in values])


def score(labelled, folder):
    """The scores of the fit in `folder`, and the unit features that are not dead."""
    fit = load_file(Path(folder) / "factorization.safetensors")
    features, coefficients = fit["features"].astype(np.float32), fit["coefficients"].astype(np.float32)
    x, rows, concepts, prompts = labelled.x, labelled.rows, labelled.concepts, labelled.prompts
    if len(coefficients) != rows.sum():
        raise SystemExit(f"{folder} has coefficients of {len(coefficients)} tokens, but {rows.sum()} are for training")
    dead = ~features.any(1) | (coefficients.max(0) <= 0)
    error = np.linalg.norm(x[rows] - coefficients @ features) ** 2 / np.linalg.norm(x[rows]) ** 2
    features, coefficients = features[~dead], coefficients[:, ~dead]
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosines = (x @ unit.T) / labelled.norms
    top = np.lexsort((-cosines[rows], -coefficients), axis=0)[:EXAMPLES].T
    purity = modal_share(concepts[prompts[rows]][top])
    token_purity = modal_share(labelled.tensors["token_ids"][rows][top])
    peaks = peak(labelled, cosines)
    use = peak(labelled, descend(x @ unit.T, unit @ unit.T))
    active = coefficients > 1e-8 * coefficients.max(0)
    similar = unit @ unit.T
    np.fill_diagonal(similar, 0)
    scores = {
        "error": error,
        "either": np.maximum(purity, token_purity).mean(),
        "purity": purity.mean(),
        "token purity": token_purity.mean(),
        "auc": best_area(labelled, peaks),
        "scd": np.median(concept_scores(labelled, peaks)),
        "scd by use": np.median(concept_scores(labelled, use)),
        "active": active.sum(1).mean(),
        "thin": (active.sum(0) < EXAMPLES).mean(),
        "duplicates": (similar.max(1) > DUPLICATE).mean(),
        "dead": dead.sum(),
    }
    return {name: float(value) for name, value in scores.items()}, unit


def descend(projections, gram, sweeps=5):
    """Nonnegative coefficients [tokens, features] of unit features, by coordinate descent from zero."""
    projections = np.ascontiguousarray(projections.T)
    coefficients = np.zeros_like(projections)
    for _ in range(sweeps):
        for k in range(len(gram)):
            step = projections[k] - gram[k] @ coefficients
            coefficients[k] = np.maximum(coefficients[k] + step, 0)
    return coefficients.T


def peak(labelled, values):
    """The largest value [prompts, features] of a prompt's tokens."""
    peaks = np.full((len(labelled.concepts), values.shape[1]), -9.0, np.float32)
    np.maximum.at(peaks, labelled.prompts, values)
    return peaks


def present(labelled):
    there = np.zeros(len(labelled.concepts), bool)
    there[np.unique(labelled.prompts)] = True
    return there


def concept_scores(labelled, peaks):
    """S_CD of each feature on held-out prompts."""
    there, count, k = present(labelled), len(labelled.order), np.arange(peaks.shape[1])

    def means(side):
        of = lambda concept: there & (labelled.half == side) & (labelled.concepts == concept)
        inside = np.stack([peaks[of(concept)].mean(0) for concept in range(count)])
        return inside, (inside.sum(0, keepdims=True) - inside) / (count - 1)

    inside, outside = means(True)
    concept = (inside - outside).argmax(0)
    inside, outside = means(False)
    return np.log(np.maximum(inside[concept, k], 1e-6) / np.maximum(outside[concept, k], 1e-6))


def best_area(labelled, peaks):
    there, half, concepts = present(labelled), labelled.half, labelled.concepts
    training, held_out = there & half, there & ~half
    areas = []
    for concept in range(len(labelled.order)):
        best = area_under_curve(peaks[training], concepts[training] == concept).argmax()
        areas.append(area_under_curve(peaks[held_out], concepts[held_out] == concept)[best])
    return np.mean(areas)


def agreement(one, other):
    """The mean cosine of the best one-to-one matching of two sets of unit features."""
    cosines = one @ other.T
    return float(cosines[linear_sum_assignment(-cosines)].mean())
