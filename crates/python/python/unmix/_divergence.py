"""How far steering moves a model's predictions, and the strength at which it moves them by a given amount."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from ._adapter import Adapter
from ._sequences import Encoder, batches
from ._texts import read_texts

# The most that the predictions of the unsteered model may take.
MOST_BYTES = 8 << 30
# Neutral texts are measured on their first tokens.
MAX_LENGTH, BATCH_SIZE = 64, 16
TOLERANCE = 0.02
MOST_STEPS = 60
# The largest factor between two strengths that are tried before the target lies between them.
STRIDE = 8.0


def tokenizer_of(adapter: Adapter) -> Any:
    """The tokenizer of a model: the one that was given, or the one that transformers finds under the model's name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if adapter.tokenizer is not None:
        return adapter.tokenizer
    if adapter.kind == "transformers" and adapter.name:
        from transformers import AutoTokenizer

        with contextlib.suppress(OSError, ValueError, KeyError):
            return AutoTokenizer.from_pretrained(adapter.name)
    raise ValueError("kl needs the tokenizer of the model; give it with tokenizer=")


class Divergence:
    """The mean divergence KL(unsteered ‖ steered) of the next token's distribution, in nats, over tokens of texts."""

    def __init__(self, adapter: Adapter, texts: Any) -> None:
        import torch

        self._adapter = adapter
        length = min(MAX_LENGTH, adapter.max_positions or MAX_LENGTH)
        encoder = Encoder(
            tokenizer_of(adapter), prepend_bos=True, skip_special=True, max_length=length, long_texts="truncate"
        )
        listed = list(read_texts(texts, "text"))
        prompts = encoder.encode(listed, 0) if listed else []
        tokens = sum(prompt.rows for prompt in prompts)
        if tokens == 0:
            raise ValueError("neutral has no tokens; give some neutral texts to measure the divergence on")
        self._batches = list(batches(prompts, BATCH_SIZE, "right", 0))
        self._unsteered: list[torch.Tensor] = []
        with adapter.evaluation():
            for batch in self._batches:
                predicted = self._predict(batch)
                if 4 * tokens * predicted.shape[1] > MOST_BYTES:
                    raise ValueError(
                        f"neutral has {tokens} tokens, and the model a vocabulary of {predicted.shape[1]}; "
                        "give fewer texts"
                    )
                self._unsteered.append(predicted)

    def measure(self) -> float:
        """The divergence of the model as it is now. It may be infinite or NaN."""
        total, count = 0.0, 0
        with self._adapter.evaluation():
            for batch, before in zip(self._batches, self._unsteered, strict=True):
                after = self._predict(batch)
                total += float((before.exp() * (before - after)).sum(-1).double().sum())
                count += len(before)
        return total / count

    def _predict(self, batch: Any) -> Any:
        """Log probabilities (tokens, vocabulary)."""
        import torch

        device = self._adapter.device
        mask = None if batch.mask is None else torch.from_numpy(batch.mask).to(device)
        logits = self._adapter.forward(torch.from_numpy(batch.ids).to(device), mask)
        kept = torch.from_numpy(batch.kept).to(logits.device)
        return logits.flatten(0, 1).index_select(0, kept).float().log_softmax(-1)


def find_strength(divergence: Callable[[float], float], target: float) -> tuple[float, float]:
    """The strength at which the divergence is the target, to 2%.

    Divergences grow about as a power of the strength, so the search is on logarithms: outwards until the target lies
    between two strengths, then inwards.

    Returns
    -------
    strength, divergence : float

    Raises
    ------
    ValueError
        If no strength has this divergence.
    """
    tried: list[tuple[float, float]] = []
    strength = 1.0
    for _ in range(MOST_STEPS):
        found = divergence(strength)
        # What is beyond all numbers is too much.
        level = math.log(max(found, 1e-12)) - math.log(target) if math.isfinite(found) else math.inf
        tried.append((math.log(strength), level))
        if abs(level) <= TOLERANCE:
            return strength, found
        below = max((pair for pair in tried if pair[1] < 0), default=None)
        above = min((pair for pair in tried if pair[1] > 0 and (below is None or pair[0] > below[0])), default=None)
        if below is not None and above is not None:
            strength = math.exp(_between(below, above, len(tried)))
        elif _is_level(tried):
            break
        else:
            strength = math.exp(_beyond(tried))
    largest = target * math.exp(max((level for _, level in tried if math.isfinite(level)), default=math.nan))
    raise ValueError(
        f"no strength gives a divergence of {target:g} nats a token; of {len(tried)} strengths from "
        f"{math.exp(min(tried)[0]):.3g} to {math.exp(max(tried)[0]):.3g}, the largest divergence was {largest:.3g}"
    )


def _between(below: tuple[float, float], above: tuple[float, float], step: int) -> float:
    """A logarithm of strength between two, by the line through them, or in the middle every third time."""
    (left, low), (right, high) = below, above
    if step % 3 == 0 or not math.isfinite(high):
        return (left + right) / 2
    return left + (right - left) * min(max(-low / (high - low), 0.05), 0.95)


def _beyond(tried: Sequence[tuple[float, float]]) -> float:
    """A logarithm of strength outside those that were tried."""
    place, level = max(tried) if max(tried)[1] < 0 else min(tried)
    # A divergence is about the square of a small strength, and less of a large one.
    stride = min(max(abs(level) / 1.5, math.log(2.0)), math.log(STRIDE))
    return place - math.copysign(stride, level)


def _is_level(tried: Sequence[tuple[float, float]]) -> bool:
    """Whether the last strides changed nothing."""
    last = sorted(tried)[-4:] if max(tried)[1] < 0 else sorted(tried)[:4]
    levels = [level for _, level in last if math.isfinite(level)]
    return len(levels) == 4 and last[-1][0] - last[0][0] > 2.0 and max(levels) - min(levels) < 0.01
