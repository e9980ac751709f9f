"""One experiment: goes through layers, methods, seeds and concepts, and keeps a line of each."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._transformers import TransformersAdapter
from .choices import Direction
from .corpus import Corpus
from .generation import write
from .layer import Layer
from .methods import METHODS
from .settings import Settings
from .store import SCORES, TEXTS, Key, Store
from .strength import find_strengths
from .table import UNSTEERED
from .words import distinct_pairs, share, words_of


class Experiment:
    """The steps of an experiment that has a model, a corpus and a folder."""

    def __init__(
        self,
        adapter: TransformersAdapter,
        tokenizer: Any,
        corpus: Corpus,
        settings: Settings,
        store: Store,
        end: float,
        progress: Callable[[str], None],
    ) -> None:
        self.adapter, self.tokenizer, self.corpus, self.settings, self.store = (
            adapter,
            tokenizer,
            corpus,
            settings,
            store,
        )
        self.end, self.progress = end, progress
        self.ids = corpus.encode(tokenizer)
        self.begin = 0 if tokenizer.bos_token_id is None else 1
        self.lexicons = corpus.lexicons()
        self.fits = store.folder / "fits"
        self.fits.mkdir(exist_ok=True)

    def run(self, number: int, names: Sequence[str], texts_of: Sequence[str], seeds: Sequence[int]) -> None:
        """One layer: all methods with the first seed, then their texts, then the other seeds."""
        layer = _Lazy(lambda: self._layer(number))
        for seed in seeds:
            for name in names:
                if METHODS[name].seeded or seed == seeds[0]:
                    self._score(layer, number, name, seed)
            if seed == seeds[0]:
                for name in (UNSTEERED, *texts_of):
                    self._write(layer, number, name, seed)

    def _out_of_time(self) -> bool:
        return time.monotonic() > self.end

    def _layer(self, number: int) -> Layer:
        sizes = {"neutral_prompts": self.settings.neutral_prompts, "prompts": self.settings.prompts}
        return Layer(self.adapter, number, self.corpus, self.ids, begin=self.begin, **sizes)

    def _direction(self, layer: Layer, name: str, seed: int) -> Callable[[str], Direction]:
        method = METHODS[name]
        dictionary = method.source(layer, self.settings.n_components, seed, self.fits)
        return lambda concept: method.choice(dictionary, concept, seed)

    def _score(self, lazy: _Lazy, number: int, name: str, seed: int) -> None:
        have = self.store.known(SCORES, number)
        missing = [concept for concept in self.corpus.concepts if (number, name, concept, seed) not in have]
        if not missing or self._out_of_time():
            return
        layer, began, done = lazy(), time.process_time(), 0
        direction_of = self._direction(layer, name, seed)
        for concept in missing:
            if self._out_of_time():
                break
            direction = direction_of(concept)
            line = {"layer": number, "method": name, "concept": concept, "seed": seed, "features": direction.features}
            line |= {"auc_training": _short(direction.auc_training), "auc_held_out": _short(direction.auc_held_out)}
            self.store.add(SCORES, line | {"steps": self._steps(layer, concept, direction)})
            done += 1
        self.progress(
            f"layer {number}, {name}, seed {seed}: {done} concepts in {time.process_time() - began:.0f} s of CPU time"
        )

    def _steps(self, layer: Layer, concept: str, direction: Direction) -> list[dict[str, Any]]:
        unit = direction.residual
        steps = []
        for found in find_strengths(
            lambda strength: layer.divergence(strength * unit), self.settings.targets, layer.guess
        ):
            own, others = layer.held_out[concept].rises(found.strength * unit)
            step = {"target": found.target, "kl": _short(found.kl), "reached": found.reached}
            step |= {"strength": _short(found.strength), "relative_strength": _short(found.strength / layer.norm)}
            steps.append(step | {"own": _short(own), "others": _short(others)})
        return steps

    def _write(self, lazy: _Lazy, number: int, name: str, seed: int) -> None:
        have, scores = self.store.known(TEXTS, number), self.store.known(SCORES, number)
        keys: list[Key] = [(number, name, concept, seed) for concept in self.corpus.concepts]
        # All concepts are written in one batch, because a batch costs little more than one of its texts.
        if (
            all(key in have for key in keys)
            or self._out_of_time()
            or (name != UNSTEERED and not all(key in scores for key in keys))
        ):
            return
        layer, began = lazy(), time.process_time()
        steered: list[tuple[Key, float, np.ndarray]] = []
        if name == UNSTEERED:
            steered = [(key, 0.0, np.zeros(layer.activations.residual.shape[1])) for key in keys]
        else:
            direction_of = self._direction(layer, name, seed)
            for key in keys:
                direction = direction_of(key[2]).residual
                steps = [step for step in scores[key]["steps"] if step["target"] in self.settings.generate_at]
                steered += [(key, step["target"], step["strength"] * direction) for step in steps]
        written = self._texts(layer, steered)
        for key in keys:
            if key not in have:
                line = dict(zip(("layer", "method", "concept", "seed"), key, strict=True))
                self.store.add(
                    TEXTS,
                    line
                    | {"steps": [step for (other, _, _), step in zip(steered, written, strict=True) if other == key]},
                )
        self.progress(f"layer {number}, {name}, seed {seed}: texts in {time.process_time() - began:.0f} s of CPU time")

    def _texts(self, layer: Layer, steered: Sequence[tuple[Key, float, np.ndarray]]) -> list[dict[str, Any]]:
        openings = layer.openings[: self.settings.texts]
        vectors = np.repeat(np.stack([vector for _, _, vector in steered]), len(openings), axis=0)
        seeds = [zlib.crc32(f"{key[2]} {number}".encode()) for key, _, _ in steered for number in range(len(openings))]
        special = sorted(self.tokenizer.all_special_ids)
        ids, surprise = write(
            layer.later, list(openings) * len(steered), vectors, seeds, special, self.settings.text_tokens
        )
        texts = [self.tokenizer.decode(row) for row in ids.tolist()]
        steps = []
        for number, (key, target, _) in enumerate(steered):
            part = slice(number * len(openings), (number + 1) * len(openings))
            words = [words_of(text) for text in texts[part]]
            step: dict[str, Any] = {
                "target": target,
                "texts": texts[part],
                "surprise": _short(surprise[part].cpu().numpy()),
            }
            step["lexicon"] = [_short(share(row, self.lexicons[key[2]])) for row in words]
            steps.append(step | {"distinct_2": [_short(distinct_pairs(row)) for row in words]})
        return steps


class _Lazy:
    """A layer that is prepared when something of it is missing."""

    def __init__(self, make: Callable[[], Layer]) -> None:
        self._make = make
        self._layer: Layer | None = None

    def __call__(self) -> Layer:
        if self._layer is None:
            self._layer = self._make()
        return self._layer


def _short(values: Any) -> Any:
    """Numbers as JSON, with the digits that mean something."""
    if isinstance(values, np.ndarray):
        return [_short(value) for value in values.tolist()]
    return float(f"{values:.5g}")
