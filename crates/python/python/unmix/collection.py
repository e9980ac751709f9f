"""Activations of several layers that `unmix.collect` wrote."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ._collection_folder import TOKENIZER, VOCABULARY
from ._manifest import PROMPTS, Manifest

if TYPE_CHECKING:
    from .activations import Activations


class Collection(Mapping[int, "Activations"]):
    """A mapping from layers to their activations, in a folder.

    Attributes
    ----------
    path : Path
        The folder. ``layer-12/00000.safetensors`` and so on hold the activations, ``prompts.jsonl`` the texts, and
        ``tokenizer.json`` (or ``vocabulary.json``) the text of the tokens.

    Examples
    --------
    >>> texts = ["the cat sat", "a dog ran home"]
    >>> acts = unmix.collect(model, tokenizer, texts, layers=[0, 1], out="acts", progress=False)
    >>> acts
    Collection('acts', layers=[0, 1], tokens=7, site='neurons', dtype='float16')
    >>> acts[1].shape
    (7, 32)
    >>> unmix.Collection.open("acts").tokens
    7
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self._manifest = manifest

    @classmethod
    def open(cls, path: str | os.PathLike) -> Collection:
        """Opens a folder that `unmix.collect` wrote.

        Raises
        ------
        FileNotFoundError
            If the folder is no collection.
        ValueError
            If it is not complete, or a file is missing or has another size than when it was written.
        """
        path = Path(path)
        manifest = Manifest.read(path)
        if not manifest.is_complete:
            raise ValueError(
                f"{path} is not complete; call unmix.collect again as before, and it goes on where it stopped"
            )
        manifest.check_files(path)
        return cls(path, manifest)

    def __getitem__(self, layer: int) -> Activations:
        from .activations import Activations

        if layer not in self.layers:
            raise KeyError(f"layer {layer!r} was not collected; there are {', '.join(map(str, self.layers))}")
        activations = Activations(self.path / f"layer-{layer}")
        texts = self._token_texts
        activations.token_strings = [
            texts.get(token, f"[id {token}]") for token in activations.columns["token_ids"].tolist()
        ]
        return activations

    def __iter__(self) -> Iterator[int]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def layers(self) -> list[int]:
        """The layers, from 0, in ascending order."""
        return list(self._manifest.options["layers"])

    @property
    def tokens(self) -> int:
        """Rows of each layer."""
        return self._manifest.last("tokens", 0)

    @property
    def texts(self) -> int:
        """Texts that were read, also those without tokens."""
        return self._manifest.last("texts", 0)

    @property
    def truncated(self) -> int:
        """Texts whose end was left out, because they had more than ``max_length`` tokens."""
        return self._manifest.last("truncated", 0)

    @property
    def site(self) -> str:
        """Where the activations were taken: "neurons", "mlp_out" or "resid"."""
        return self._manifest.options["site"]

    @property
    def prompts(self) -> Path:
        """The file of texts: a JSON object on each line, with ``prompt_id``, ``text``, ``tokens`` and other fields."""
        return self.path / PROMPTS

    @property
    def vocabulary(self) -> Path:
        """The file with the text of the tokens, for ``--vocabulary`` of the command line."""
        path = self.path / TOKENIZER
        return path if path.is_file() else self.path / VOCABULARY

    @functools.cached_property
    def _token_texts(self) -> dict[int, str]:
        """The text of each token id, in the tokenizer's own notation."""
        content = json.loads(self.vocabulary.read_text(encoding="utf-8"))
        if isinstance(content, list):
            return dict(enumerate(content))
        vocabulary = content["model"]["vocab"]
        # Of some kinds of tokenizers it is a list of pieces with their scores.
        texts = (
            {token: text for text, token in vocabulary.items()}
            if isinstance(vocabulary, dict)
            else {token: piece for token, (piece, _) in enumerate(vocabulary)}
        )
        return texts | {token["id"]: token["content"] for token in content.get("added_tokens", [])}

    @property
    def bos_norms(self) -> dict[int, float]:
        """For each layer the mean norm of the begin-of-text tokens. Empty if texts do not begin with a special token."""
        return self._mean("bos_norm_sums", "begins")

    @property
    def token_norms(self) -> dict[int, float]:
        """For each layer the mean norm of the tokens that are in the files."""
        return self._mean("token_norm_sums", "rows")

    def _mean(self, sums: str, counts: str) -> dict[int, float]:
        shards = self._manifest.shards
        count = sum(shard[counts] for shard in shards)
        if not count:
            return {}
        return {layer: sum(shard[sums][str(layer)] for shard in shards) / count for layer in self.layers}

    def __repr__(self) -> str:
        dtype = self._manifest.options["dtype"]
        what = f"layers={self.layers}, tokens={self.tokens}, site={self.site!r}, dtype={dtype!r}"
        return f"Collection({str(self.path)!r}, {what})"
