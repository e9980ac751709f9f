"""Labelled prompts, their two halves, and the words that are typical of a concept."""

from __future__ import annotations

import collections
import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from .words import share, words_of

# Of a chi-squared distribution with one degree of freedom, 5% lie above.
SIGNIFICANT = 3.84


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Labelled prompts. Every other prompt of each concept is for training, the rest is held out.

    Parameters
    ----------
    texts : list of str
        The prompts.
    labels : list of str
        The concept of each prompt.
    neutral : str, default "neutral"
        The label of the prompts that are about none of the concepts.

    Examples
    --------
    >>> from unmix.experiments.corpus import Corpus
    >>> texts = ["In May.", "It is.", "A cat.", "By June.", "It was.", "My dog."]
    >>> corpus = Corpus(texts, ["month", "none", "pet", "month", "none", "pet"], neutral="none")
    >>> corpus.concepts
    ['month', 'pet']
    >>> corpus.where("month", training=True).tolist(), corpus.where("month", training=False).tolist()
    ([0], [3])
    """

    texts: list[str]
    labels: list[str]
    neutral: str = "neutral"

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise ValueError(
                f"the corpus has {len(self.texts)} texts and {len(self.labels)} labels; give one label a text"
            )
        counts = collections.Counter(self.labels)
        if not counts[self.neutral]:
            raise ValueError(
                f"no prompt of the corpus has the label {self.neutral!r}, and the strength of steering is found on "
                f"such prompts. Name the label with neutral=. Labels: {', '.join(sorted(counts))}"
            )
        if len(counts) < 3:
            raise ValueError(
                f"the corpus has {len(counts) - 1} concepts beside {self.neutral!r}; at least 2 are needed to compare"
            )
        for label, count in counts.items():
            if count < 2:
                raise ValueError(
                    f"the concept {label!r} has {count} prompt; give at least 2, one for training and one held out"
                )

    @classmethod
    def read(cls, path: str | os.PathLike[str], neutral: str = "neutral") -> Corpus:
        """Reads a JSONL file whose objects have the strings `text` and `concept`.

        Raises
        ------
        ValueError
            If a line is no such object, or if there are too few prompts.
        OSError
            If the file cannot be read.
        """
        texts, labels = [], []
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                text, concept = row["text"], row["concept"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f'line {number} of {path} is not an object with "text" and "concept": {error!r}'
                ) from error
            if not isinstance(text, str) or not isinstance(concept, str):
                raise ValueError(f'line {number} of {path}: "text" and "concept" must be strings')
            texts.append(text)
            labels.append(concept)
        return cls(texts, labels, neutral)

    @property
    def concepts(self) -> list[str]:
        """The concepts in alphabetical order, without the neutral label."""
        return sorted(set(self.labels) - {self.neutral})

    @property
    def training(self) -> np.ndarray:
        """Which prompts are for training: a bool for each."""
        seen: collections.Counter[str] = collections.Counter()
        half = np.zeros(len(self.labels), bool)
        for prompt, label in enumerate(self.labels):
            half[prompt] = seen[label] % 2 == 0
            seen[label] += 1
        return half

    def where(self, label: str, *, training: bool) -> np.ndarray:
        """The numbers of the prompts of a concept in one half."""
        return np.flatnonzero((np.array(self.labels) == label) & (self.training == training))

    def lexicons(self) -> dict[str, list[str]]:
        """The words that are over-represented in the training prompts of each concept.

        A word counts once a prompt. Those are kept whose log-likelihood ratio against the other training prompts is
        above `SIGNIFICANT`, the most over-represented first.
        """
        count: dict[str, collections.Counter[str]] = {label: collections.Counter() for label in set(self.labels)}
        for text, label, training in zip(self.texts, self.labels, self.training, strict=True):
            if training:
                count[label].update(set(words_of(text)))
        total: collections.Counter[str] = sum(count.values(), collections.Counter())
        size = sum(total.values())
        lexicons = {}
        for concept in self.concepts:
            part = sum(count[concept].values()) / size
            scores = {}
            for word, inside in count[concept].items():
                outside, expected = total[word] - inside, total[word] * part
                if inside > expected and (len(word) > 2 or word.isdigit()):
                    rest = outside * math.log(outside / (total[word] - expected)) if outside else 0.0
                    scores[word] = 2 * (inside * math.log(inside / expected) + rest)
            over = [word for word, score in scores.items() if score > SIGNIFICANT]
            lexicons[concept] = sorted(over, key=lambda word: (-scores[word], word))
        return lexicons

    def lexicon_share(self) -> float:
        """The mean share of the words of a concept's held-out prompts that belong to its lexicon."""
        shares = []
        for concept, lexicon in self.lexicons().items():
            texts = [self.texts[prompt] for prompt in self.where(concept, training=False)]
            shares.append(share([word for text in texts for word in words_of(text)], lexicon))
        return float(np.mean(shares))

    def encode(self, tokenizer: Any) -> list[list[int]]:
        """The token ids of each prompt, behind the begin-of-text token if the tokenizer has one."""
        begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        ids = [begin + list(tokenizer(text, add_special_tokens=False).input_ids) for text in self.texts]
        short = [prompt for prompt, row in enumerate(ids) if len(row) < 2 or len(row) == len(begin)]
        if short:
            raise ValueError(
                f"prompt {short[0]} of the corpus ({self.texts[short[0]]!r}) has too few tokens to predict one from "
                "another; leave it out"
            )
        return ids
