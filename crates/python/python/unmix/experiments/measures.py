"""What steering does to predictions: the divergence on neutral prompts, the log-probability of a concept's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from .corpus import Corpus
from .forward import LaterLayers, Prompts

# Tokens of the text. The first predictions of a prompt are guesses whatever it is about.
FIRST_SCORED = 3
NEUTRAL_LENGTH = 5
SCORED_LENGTH = 16
OTHERS = 12


class Divergence:
    """The mean KL divergence of the steered predictions from the unsteered ones on prompts, in nats a token.

    The predictions behind every second token of the first `NEUTRAL_LENGTH` are compared, over the whole vocabulary.
    """

    def __init__(self, later: LaterLayers, ids: Sequence[Sequence[int]], begin: int) -> None:
        # The last of them predicts nothing that counts, so it is not run.
        cut = [row[: begin + NEUTRAL_LENGTH - 1] for row in ids]
        self.later = later
        self.prompts = later.prepare(cut, [range(begin + 1, begin + NEUTRAL_LENGTH - 1, 2)] * len(cut))
        with torch.no_grad():
            self.before = later.logits(self.prompts).log_softmax(-1)
            self.probabilities = self.before.exp()
            self.entropy = -(self.probabilities * self.before).sum(-1)

    def __call__(self, direction: np.ndarray) -> float:
        """The divergence with a direction [d_model] added to the residual stream of every token."""
        with torch.no_grad():
            logits = self.later.logits(self.prompts, self.later.tensor(direction))
            cross = logits.logsumexp(-1) - torch.einsum("pv,pv->p", self.probabilities, logits)
            return (cross - self.entropy).mean().item()


class ConceptScore:
    """How much more steering raises the log-probability of a concept's prompts than that of others' prompts.

    Parameters
    ----------
    later : LaterLayers
        The model from the steered layer on.
    own, others : sequence of sequences of int
        The tokens of the concept's prompts, and of prompts of other concepts.
    begin : int
        How many tokens of each are not text: 1 with a begin-of-text token, else 0.
    """

    def __init__(
        self, later: LaterLayers, own: Sequence[Sequence[int]], others: Sequence[Sequence[int]], begin: int
    ) -> None:
        cut = [row[: begin + SCORED_LENGTH] for row in (*own, *others)]
        self.later = later
        self.own = len(own)
        # The token at position p is predicted at p - 1. A short prompt counts with its last token at least.
        positions = [range(max(min(begin + FIRST_SCORED, len(row) - 1) - 1, 0), len(row) - 1) for row in cut]
        self.prompts: Prompts = later.prepare(cut, positions)
        with torch.no_grad():
            self.before = self._log_probabilities(None)

    def _log_probabilities(self, direction: torch.Tensor | None) -> torch.Tensor:
        """The mean log-probability [prompts] of the tokens of each prompt."""
        logits = self.later.logits(self.prompts, direction)
        chosen = logits.gather(1, self.prompts.following[:, None])[:, 0] - logits.logsumexp(-1)
        zeros = torch.zeros(len(self.prompts), device=chosen.device)
        sums = zeros.index_add(0, self.prompts.rows, chosen)
        return sums / zeros.index_add(0, self.prompts.rows, torch.ones_like(chosen))

    def rises(self, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rises, in nats a token, of the own prompts and of the others, with a direction [d_model] added."""
        with torch.no_grad():
            rises = (self._log_probabilities(self.later.tensor(direction)) - self.before).cpu().numpy()
        return rises[: self.own], rises[self.own :]

    def gradient(self, width: int) -> np.ndarray:
        """The gradient [d_model] of the score at no steering: the direction in which it rises fastest."""
        direction = torch.zeros(width, device=self.later.device, requires_grad=True)
        with torch.enable_grad():
            rises = self._log_probabilities(direction)
            (gradient,) = torch.autograd.grad(rises[: self.own].mean() - rises[self.own :].mean(), direction)
        return gradient.cpu().numpy()


class Scores:
    """The scores of all concepts, on prompts of one half of the corpus.

    Each concept has `size` own prompts, and `OTHERS` prompts of other concepts: one each of some, or several each if
    there are few concepts.
    """

    def __init__(
        self,
        later: LaterLayers,
        corpus: Corpus,
        ids: Sequence[Sequence[int]],
        begin: int,
        *,
        training: bool,
        size: int,
    ) -> None:
        self._later, self._ids, self._begin, self._size = later, ids, begin, size
        # The longest first: they have more to predict.
        self._prompts = {
            concept: sorted(corpus.where(concept, training=training).tolist(), key=lambda prompt: -len(ids[prompt]))
            for concept in corpus.concepts
        }
        self._scores: dict[str, ConceptScore] = {}

    def __getitem__(self, concept: str) -> ConceptScore:
        if concept not in self._scores:
            own = self._prompts[concept][: self._size]
            rows = ([self._ids[prompt] for prompt in prompts] for prompts in (own, self._others(concept)))
            self._scores[concept] = ConceptScore(self._later, *rows, self._begin)
        return self._scores[concept]

    def _others(self, concept: str) -> list[int]:
        others = [prompts for other, prompts in self._prompts.items() if other != concept]
        spread = np.unique(np.linspace(0, len(others) - 1, OTHERS).round().astype(int))
        each = math.ceil(OTHERS / len(spread))
        # Those that score a concept of their own come last.
        return [prompt for place in spread for prompt in np.roll(others[place], -self._size)[:each].tolist()]
