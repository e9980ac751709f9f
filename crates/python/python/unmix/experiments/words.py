"""Words of a text, and what is counted of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence


def words_of(text: str) -> list[str]:
    """The words and numbers of a text, in lower case.

    Examples
    --------
    >>> from unmix.experiments.words import words_of
    >>> words_of("It's the 3rd of May.")
    ["it's", 'the', '3', 'rd', 'of', 'may']
    """
    return re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+", text.lower())


def share(words: Sequence[str], lexicon: Iterable[str]) -> float:
    """The share of words that belong to a lexicon; 0 of no words.

    Examples
    --------
    >>> from unmix.experiments.words import share
    >>> share(["rain", "on", "the", "sea"], ["rain", "sea"])
    0.5
    """
    belongs = set(lexicon)
    return sum(word in belongs for word in words) / len(words) if words else 0.0


def distinct_pairs(words: Sequence[str]) -> float:
    """The share of pairs of neighbouring words that are different pairs (distinct-2); 0 of fewer than 2 words.

    Examples
    --------
    >>> from unmix.experiments.words import distinct_pairs
    >>> distinct_pairs(["a", "b", "a", "b", "a"])
    0.5
    """
    pairs = list(itertools.pairwise(words))
    return len(set(pairs)) / len(pairs) if pairs else 0.0
