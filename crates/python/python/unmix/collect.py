"""Activations of a language model on texts, written to files as they come."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ._adapter import Adapter, Site, check_site
from ._capture import Capture
from ._manifest import FILE, PROMPTS, Manifest, remove_leftovers
from ._sequences import Encoder, PaddingSide, Prompt, batches
from ._shard_file import DTYPES, PART, ShardFile, write_whole
from ._texts import Text, Texts, chain, read_texts
from ._token_progress import TokenProgress
from .collection import TOKENIZER, VOCABULARY, Collection
from .models import adapt

_log = logging.getLogger("unmix.collect")

# Texts that the tokenizer gets at once.
TOKENIZED_TOGETHER = 64


def collect(
    model: Any,
    tokenizer: Any,
    texts: Texts,
    layers: int | Iterable[int],
    out: str | os.PathLike,
    *,
    site: Site = "neurons",
    batch_size: int = 16,
    dtype: Literal["float16", "bfloat16", "float32"] = "float16",
    max_length: int = 256,
    long_texts: Literal["truncate", "split"] = "truncate",
    skip_special: bool = True,
    prepend_bos: bool = True,
    padding_side: PaddingSide = "right",
    text_key: str = "text",
    keep_text: bool = True,
    shard_size: int = 256 << 20,
    down_proj: str | None = None,
    resume: bool = True,
    progress: bool = True,
) -> Collection:
    """Runs a model on texts and writes the activations of some of its layers to files.

    Memory does not grow with the number of texts. If the run is interrupted, the same call goes on where it stopped,
    and gives the same files.

    Parameters
    ----------
    model : object
        A model of transformers, TransformerLens or nnsight (see `unmix.models.adapt`).
    tokenizer : object or None
        The tokenizer of the model. None for that which a model of TransformerLens or nnsight has.
    texts : iterable of str or dict, or path
        Texts, or dicts with a text (such as the rows of a data set). A path is that of a file with a text on each line,
        or of a JSON lines file (``.jsonl``). Other fields of dicts, such as labels, are kept with the texts.
    layers : int or iterable of int
        Layers, from 0.
    out : path
        The folder to write to.
    site : {"neurons", "mlp_out", "resid"}
        The input of the MLP's down-projection, its output, or the output of the layer (the residual stream).
    batch_size : int
        Sequences that go through the model at once.
    dtype : {"float16", "bfloat16", "float32"}
        Type of the numbers in the files.
    max_length : int
        The most tokens of a sequence, with the special ones.
    long_texts : {"truncate", "split"}
        What is done with a text of more tokens. Either its end is left out (`Collection.truncated` counts these texts),
        or it goes through the model in windows, each of which begins with the special tokens of the text's beginning.
    skip_special : bool
        Whether special tokens (begin and end of text, and so on) are left out of the files. Their norms are often a
        hundred times those of other tokens. See `Collection.bos_norms`.
    prepend_bos : bool
        Whether a begin-of-text token is put before each text, if the tokenizer has one and does not do so itself.
        Without one, the first word of each text takes its part.
    padding_side : {"right", "left"}
        Where shorter sequences of a batch are padded.
    text_key : str
        The field that holds the text.
    keep_text : bool
        Whether ``prompts.jsonl`` has the texts, and not only their numbers and fields.
    shard_size : int
        The most bytes of a file. A text is never cut in two, so a single longer one makes a larger file.
    down_proj : str, optional
        Path of the down-projection, with ``{layer}`` in it (see `unmix.models.adapt`).
    resume : bool
        Whether to go on with what the folder has. If False, the folder must be empty or not there.
    progress : bool
        Whether to show tokens and tokens a second.

    Returns
    -------
    Collection
        A mapping from layers to `unmix.Activations`. Rows are tokens in the order of the texts. The token columns are
        ``token_ids``, ``prompt_ids`` (the number of the text, from 0) and ``positions`` (the token's place among those
        of its text that are in the files, from 0).

    Raises
    ------
    ValueError
        If an option is impossible, the folder holds activations of another model, other texts or other options, or an
        activation is not finite or too large for `dtype`.
    FileExistsError
        If the folder holds other files.
    OSError
        If files cannot be read or written.

    Examples
    --------
    >>> texts = ["the cat sat on the mat", "a dog ran home"]
    >>> acts = unmix.collect(model, tokenizer, texts, layers=[1], out="acts", progress=False)
    >>> acts.tokens, acts[1].shape
    (10, (10, 32))
    """
    adapter = adapt(model, tokenizer, down_proj=down_proj)
    if adapter.tokenizer is None:
        raise ValueError("there is no tokenizer; give the one that belongs to the model")
    layers = _checked_layers(adapter, layers)
    check_site(site)
    _check_choice("dtype", dtype, DTYPES)
    _check_choice("long_texts", long_texts, ("truncate", "split"))
    _check_choice("padding_side", padding_side, ("right", "left"))
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("max_length", max_length, 2),
        ("shard_size", shard_size, 1),
    ):
        if not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} is a whole number, at least {least}; given was {value!r}")
    if adapter.max_positions is not None and max_length > adapter.max_positions:
        raise ValueError(
            f"max_length is {max_length}, but the model has positions for {adapter.max_positions} tokens; "
            f"give max_length={adapter.max_positions} or less"
        )
    widths = {str(layer): adapter.width(layer, site) for layer in layers}
    options = {
        "layers": layers,
        "site": site,
        "batch_size": int(batch_size),
        "dtype": dtype,
        "max_length": int(max_length),
        "long_texts": long_texts,
        "skip_special": bool(skip_special),
        "prepend_bos": bool(prepend_bos),
        "padding_side": padding_side,
        "text_key": text_key,
        "keep_text": bool(keep_text),
        "shard_size": int(shard_size),
        "down_proj": down_proj,
    }
    file_name, vocabulary = _vocabulary(adapter.tokenizer)
    manifest = Manifest(options, adapter.describe(), hashlib.sha256(vocabulary).hexdigest(), widths)
    encoder = Encoder(
        adapter.tokenizer,
        prepend_bos=prepend_bos,
        skip_special=skip_special,
        max_length=max_length,
        long_texts=long_texts,
    )
    folder = Path(out)
    manifest = _begin(folder, manifest, resume)
    write_whole(folder / file_name, vocabulary)
    _Run(adapter, encoder, folder, manifest).go(read_texts(texts, text_key), progress)
    collection = Collection(folder, manifest)
    _report(collection)
    return collection


class _Run:
    """A collection that is under way."""

    def __init__(self, adapter: Adapter, encoder: Encoder, folder: Path, manifest: Manifest) -> None:
        self._adapter, self._encoder, self._folder, self._manifest = adapter, encoder, folder, manifest
        options = manifest.options
        self._layers: list[int] = options["layers"]
        row_bytes = max(manifest.widths.values()) * DTYPES[options["dtype"]][1] + 12
        self._rows_per_shard = max(1, options["shard_size"] // row_bytes)

    def go(self, texts: Iterator[Text], progress: bool) -> None:
        """Collects what is not there yet."""
        manifest, options = self._manifest, self._manifest.options
        digest = self._skip(texts)
        if manifest.is_complete:
            return
        done = manifest.last("tokens", 0)
        with (
            TokenProgress(progress, done) as shown,
            Capture(self._adapter, self._layers, options["site"], options["dtype"]) as capture,
        ):
            for prompts in self._shards(texts):
                digest = self._write_shard(prompts, digest, capture, shown)
        if manifest.last("tokens", 0) == 0:
            raise ValueError(
                "there are no tokens to collect: texts is empty, or has nothing but empty texts and special tokens"
            )
        manifest.is_complete = True
        manifest.write(self._folder)

    def _skip(self, texts: Iterator[Text]) -> str:
        """Reads the texts that are in complete shards. Returns their digest."""
        manifest = self._manifest
        count, digest, read = manifest.last("texts", 0), "", 0
        for text in itertools.islice(texts, count):
            digest = chain(digest, text)
            read += 1
        is_longer = manifest.is_complete and next(texts, None) is not None
        if read < count or digest != manifest.last("digest", "") or is_longer:
            raise ValueError(f"{self._folder} holds activations of other texts; give the same texts, or another folder")
        return digest

    def _shards(self, texts: Iterator[Text]) -> Iterator[list[Prompt]]:
        """The prompts of each file."""
        number, rows = self._manifest.last("texts", 0), 0
        prompts: list[Prompt] = []
        while together := list(itertools.islice(texts, TOKENIZED_TOGETHER)):
            for prompt in self._encoder.encode(together, number):
                if prompts and rows + prompt.rows > self._rows_per_shard:
                    yield prompts
                    rows, prompts = 0, []
                prompts.append(prompt)
                rows += prompt.rows
            number += len(together)
        if prompts:
            yield prompts

    def _write_shard(self, prompts: list[Prompt], digest: str, capture: Capture, shown: TokenProgress) -> str:
        """Writes one file for each layer, then says so in the manifest. Returns the digest of all texts so far."""
        manifest = self._manifest
        first_rows = dict(
            zip(
                (prompt.number for prompt in prompts),
                np.cumsum([0, *(prompt.rows for prompt in prompts)]).tolist(),
                strict=False,
            )
        )
        rows = sum(prompt.rows for prompt in prompts)
        files = self._open_files(prompts, rows) if rows else {}
        token_norms, bos_norms, begins = dict.fromkeys(self._layers, 0.0), dict.fromkeys(self._layers, 0.0), 0
        try:
            options = manifest.options
            for batch in batches(prompts, options["batch_size"], options["padding_side"], self._pad()):
                begins += len(batch.starts)
                for layer, captured in capture.run(batch).items():
                    token_norms[layer] += captured.token_norms
                    bos_norms[layer] += captured.bos_norms
                    _put(files, layer, captured.rows, batch.owners, first_rows)
                shown.add(len(batch.kept))
            for file in files.values():
                file.finish()
        except BaseException:
            for file in files.values():
                file.discard()
            raise
        size = self._append_prompts(prompts)
        for prompt in prompts:
            digest = chain(digest, prompt.text)
        manifest.shards.append(
            {
                "rows": rows,
                "tokens": manifest.last("tokens", 0) + rows,
                "texts": prompts[-1].number + 1,
                "truncated": manifest.last("truncated", 0) + sum(prompt.truncated for prompt in prompts),
                "prompts_bytes": size,
                "digest": digest,
                "begins": begins,
                "token_norm_sums": {str(layer): value for layer, value in token_norms.items()},
                "bos_norm_sums": {str(layer): value for layer, value in bos_norms.items()},
            }
        )
        manifest.write(self._folder)
        return digest

    def _open_files(self, prompts: list[Prompt], rows: int) -> dict[int, ShardFile]:
        manifest = self._manifest
        sequences = [sequence for prompt in prompts for sequence in prompt.sequences]
        columns = {
            "token_ids": np.concatenate([np.array(sequence.ids)[sequence.kept] for sequence in sequences]),
            "prompt_ids": np.repeat([prompt.number for prompt in prompts], [prompt.rows for prompt in prompts]),
            "positions": np.concatenate([np.arange(prompt.rows) for prompt in prompts]),
        }
        number = sum(shard["rows"] > 0 for shard in manifest.shards)
        files: dict[int, ShardFile] = {}
        try:
            for layer in self._layers:
                path = self._folder / f"layer-{layer}" / f"{number:05}.safetensors"
                metadata = {"model": manifest.model["name"], "layer": str(layer), "site": manifest.options["site"]}
                files[layer] = ShardFile(
                    path, rows, manifest.widths[str(layer)], manifest.options["dtype"], columns, metadata
                )
        except BaseException:
            for file in files.values():
                file.discard()
            raise
        return files

    def _append_prompts(self, prompts: list[Prompt]) -> int:
        """Adds lines to the file of texts. Returns its size."""
        keep_text = self._manifest.options["keep_text"]
        with (self._folder / PROMPTS).open("ab") as file:
            # What is behind the last complete shard is of a run that was killed.
            file.truncate(self._manifest.last("prompts_bytes", 0))
            file.seek(0, os.SEEK_END)
            for prompt in prompts:
                text = {"text": prompt.text.text} if keep_text else {}
                record = {"prompt_id": prompt.number, **text, "tokens": prompt.rows, **prompt.text.fields}
                file.write(json.dumps(record, ensure_ascii=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            return file.tell()

    def _pad(self) -> int:
        """The id at padding. No token sees it."""
        tokenizer = self._adapter.tokenizer
        known = (getattr(tokenizer, name, None) for name in ("pad_token_id", "eos_token_id"))
        return next((token for token in known if token is not None), 0)


def _put(
    files: dict[int, ShardFile],
    layer: int,
    rows: Any,
    owners: list[tuple[Prompt, int, int]],
    first_rows: dict[int, int],
) -> None:
    import torch

    data = rows.view(torch.uint8).numpy() if len(rows) else None
    start = 0
    for prompt, row, count in owners:
        if count:
            files[layer].put(first_rows[prompt.number] + row, data[start : start + count].data)
        start += count


def _begin(folder: Path, manifest: Manifest, resume: bool) -> Manifest:
    """The manifest to go on with: that of the folder, or the one given."""
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; give a folder for out")
    try:
        found = Manifest.read(folder)
    except FileNotFoundError:
        found = None
    others = [path for path in folder.iterdir() if path.name != FILE + PART] if folder.is_dir() else []
    if others and (found is None or not resume):
        raise FileExistsError(
            f"{folder} is not empty; give another folder" + (", or resume=True to go on" if found else "")
        )
    remove_leftovers(folder)
    if found is not None and (found.shards or found.is_complete):
        found.check_same(manifest, folder)
        return found
    folder.mkdir(parents=True, exist_ok=True)
    manifest.write(folder)
    return manifest


def _vocabulary(tokenizer: Any) -> tuple[str, bytes]:
    """The text of the tokens: the name of its file, and what is in it."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None and hasattr(backend, "to_str"):
        return TOKENIZER, backend.to_str().encode()
    words = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return VOCABULARY, json.dumps(words, ensure_ascii=False).encode()


def _checked_layers(adapter: Adapter, layers: int | Iterable[int]) -> list[int]:
    given = list(layers) if isinstance(layers, Iterable) else [layers]
    if not given:
        raise ValueError("layers is empty; give the layers to collect, such as layers=[12, 20]")
    return sorted({adapter.check_layer(layer) for layer in given})


def _check_choice(name: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} is {value!r}; it is one of {', '.join(map(repr, known))}")


def _report(collection: Collection) -> None:
    if collection.truncated:
        _log.warning(
            "%d of %d texts had more than max_length tokens, and their ends were left out",
            collection.truncated,
            collection.texts,
        )
    for layer, norm in collection.bos_norms.items():
        _log.info(
            "layer %d: mean norm %.4g of begin-of-text tokens, %.4g of the tokens in the files",
            layer,
            norm,
            collection.token_norms[layer],
        )
