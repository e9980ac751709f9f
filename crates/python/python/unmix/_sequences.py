"""From texts to the sequences of tokens that a model gets, and to batches of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from ._texts import Text

PaddingSide = Literal["left", "right"]


@dataclasses.dataclass
class TokenSequence:
    """Tokens that go through the model together.

    Attributes
    ----------
    ids : list of int
    kept : ndarray of bool
        The tokens whose activations are stored.
    starts_special : bool
        Whether the first token is a special one, which is the begin-of-text token in most models.
    """

    ids: list[int]
    kept: np.ndarray
    starts_special: bool


@dataclasses.dataclass
class Prompt:
    """A text in tokens.

    Attributes
    ----------
    number : int
        Number of the text, from 0.
    text : Text
    sequences : list of TokenSequence
        One, or several windows of a long text.
    truncated : bool
        Whether the end of the text was left out.
    """

    number: int
    text: Text
    sequences: list[TokenSequence]
    truncated: bool

    @property
    def rows(self) -> int:
        """Tokens whose activations are stored."""
        return sum(int(sequence.kept.sum()) for sequence in self.sequences)


class Encoder:
    """Turns texts into sequences of tokens."""

    def __init__(
        self,
        tokenizer: Any,
        *,
        prepend_bos: bool,
        skip_special: bool,
        max_length: int,
        long_texts: str,
        vocabulary_size: int | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._bos = getattr(tokenizer, "bos_token_id", None) if prepend_bos else None
        self._skip_special = skip_special
        self._max_length = max_length
        self._vocabulary_size = vocabulary_size
        self._splits = long_texts == "split"
        self.special_ids = special_ids(tokenizer)
        self._special = np.array(sorted(self.special_ids), dtype=np.int64)

    def encode(self, texts: Sequence[Text], first: int) -> list[Prompt]:
        """Texts in tokens. The first one has the number `first`."""
        encoded = self._tokenizer([text.text for text in texts], add_special_tokens=True, verbose=False)["input_ids"]
        return [
            self._prompt(first + offset, text, list(ids))
            for offset, (text, ids) in enumerate(zip(texts, encoded, strict=True))
        ]

    def _prompt(self, number: int, text: Text, ids: list[int]) -> Prompt:
        if self._bos is not None and ids[:1] != [self._bos]:
            ids = [self._bos, *ids]
        if self._vocabulary_size is not None and ids and max(ids) >= self._vocabulary_size:
            raise ValueError(
                f"text {number} has the token id {max(ids)}, and the model knows ids from 0 to "
                f"{self._vocabulary_size - 1}; give the tokenizer that belongs to the model"
            )
        windows, truncated = self._windows(ids), len(ids) > self._max_length and not self._splits
        return Prompt(
            number, text, [self._sequence(window, repeated) for window, repeated in windows if window], truncated
        )

    def _windows(self, ids: list[int]) -> list[tuple[list[int], int]]:
        """Windows of the tokens, each with the number of tokens that were in an earlier one."""
        if len(ids) <= self._max_length or not self._splits:
            return [(ids[: self._max_length], 0)]
        # Each window begins like the text.
        begin = next((place for place, token in enumerate(ids) if token not in self.special_ids), len(ids))
        begin = min(begin, self._max_length - 1)
        step = self._max_length - begin
        return [
            (ids[:begin] + ids[start : start + step], 0 if start == begin else begin)
            for start in range(begin, len(ids), step)
        ]

    def _sequence(self, ids: list[int], repeated: int) -> TokenSequence:
        kept = ~np.isin(ids, self._special) if self._skip_special else np.ones(len(ids), bool)
        kept[:repeated] = False
        return TokenSequence(ids, kept, ids[0] in self.special_ids)


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that stand for no text: begin, end, padding and so on, but not that for unknown words."""
    special = set(getattr(tokenizer, "all_special_ids", ()))
    roles = ("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id", "mask_token_id")
    named = {getattr(tokenizer, role, None) for role in roles}
    unknown = getattr(tokenizer, "unk_token_id", None)
    return frozenset(special - ({unknown} - named))


@dataclasses.dataclass
class Batch:
    """Sequences that go through the model at once.

    Attributes
    ----------
    ids, mask : ndarray of shape (batch, tokens), int64
        `mask` is 0 at padding. It is None if there is none.
    kept : ndarray of int64
        Places of the stored tokens in the flattened batch, in the order of the sequences.
    starts : ndarray of int64
        Places of the first tokens, where these are special ones.
    owners : list of (Prompt, int, int)
        For each sequence its prompt, the first of its rows within the prompt, and the number of its rows.
    """

    ids: np.ndarray
    mask: np.ndarray | None
    kept: np.ndarray
    starts: np.ndarray
    owners: list[tuple[Prompt, int, int]]


def batches(prompts: Sequence[Prompt], size: int, side: PaddingSide, pad: int) -> Iterator[Batch]:
    """The sequences of the prompts in batches of about the same length, so that there is little padding."""
    owned = []
    for prompt in prompts:
        row = 0
        for sequence in prompt.sequences:
            count = int(sequence.kept.sum())
            owned.append((sequence, (prompt, row, count)))
            row += count
    # The longest come first: what does not fit into memory fails at once.
    owned.sort(key=lambda pair: -len(pair[0].ids))
    for start in range(0, len(owned), size):
        yield _batch(owned[start : start + size], side, pad)


def _batch(owned: list[tuple[TokenSequence, tuple[Prompt, int, int]]], side: PaddingSide, pad: int) -> Batch:
    length = max(len(sequence.ids) for sequence, _ in owned)
    ids = np.full((len(owned), length), pad, np.int64)
    mask = np.zeros((len(owned), length), np.int64)
    kept, starts = [], []
    for row, (sequence, _) in enumerate(owned):
        start = 0 if side == "right" else length - len(sequence.ids)
        ids[row, start : start + len(sequence.ids)] = sequence.ids
        mask[row, start : start + len(sequence.ids)] = 1
        kept.append(row * length + start + np.flatnonzero(sequence.kept))
        if sequence.starts_special:
            starts.append(row * length + start)
    return Batch(
        ids=ids,
        mask=None if mask.all() else mask,
        kept=np.concatenate(kept),
        starts=np.array(starts, np.int64),
        owners=[owner for _, owner in owned],
    )
