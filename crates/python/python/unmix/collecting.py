"""Activations of a language model on texts, written to files as they come."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ._adapter import Adapter, Site, check_site
from ._collection_folder import TOKENIZER, VOCABULARY, in_use
from ._collection_run import Run
from ._manifest import Manifest
from ._sequences import Encoder, PaddingSide
from ._shard_file import DTYPES, write_whole
from ._texts import Text, Texts, read_texts
from .collection import Collection
from .models import adapt

_log = logging.getLogger("unmix.collect")


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
    and gives the same files. It first makes sure that the model still gives the activations of the first text, and that
    the files are as they were written (their sizes, and up to 4 GiB also their bytes).

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
        Whether special tokens (begin and end of text, and so on) are left out of the files. In many
        models their norms are far from those of other tokens. See `Collection.bos_norms`.
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
        If an option is impossible, the folder holds activations of another model, other texts or other options, its
        files are not as they were written, or an activation is not finite or too large for `dtype`.
    RuntimeError
        If another run writes to the folder.
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
    _check_tokenizer(adapter.tokenizer)
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
        vocabulary_size=adapter.vocabulary_size,
    )
    renumbered: list[tuple[int, int]] = []
    read, folder = _renumbering(read_texts(texts, text_key), renumbered), Path(out)
    with in_use(folder, manifest, resume) as manifest:
        write_whole(folder / file_name, vocabulary)
        Run(adapter, encoder, folder, manifest).go(read, progress)
    collection = Collection(folder, manifest)
    _report(collection, renumbered)
    return collection


def _check_tokenizer(tokenizer: Any) -> None:
    if tokenizer is None:
        raise ValueError("there is no tokenizer; give the one that belongs to the model")
    if isinstance(tokenizer, (str, os.PathLike)):
        raise TypeError(
            f"tokenizer is {os.fspath(tokenizer)!r}; give the tokenizer itself, "
            f"such as AutoTokenizer.from_pretrained({os.fspath(tokenizer)!r})"
        )
    if not callable(tokenizer) or not hasattr(tokenizer, "convert_ids_to_tokens"):
        raise TypeError(f"tokenizer is of type {type(tokenizer).__name__}; expected is a tokenizer of transformers")


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


def _renumbering(texts: Iterator[Text], renumbered: list[tuple[int, int]]) -> Iterator[Text]:
    """The texts. The first one whose record gives it another number than its place is noted, with both."""
    for number, text in enumerate(texts):
        if not renumbered and text.own_number not in (None, number):
            renumbered.append((number, text.own_number))
        yield text


def _report(collection: Collection, renumbered: list[tuple[int, int]]) -> None:
    for number, own in renumbered:
        _log.warning(
            "text %d has the number %d in its record. Prompts have the numbers of the texts, from 0, so labels by the numbers of the "
            "records would go to other prompts; take the labels from %s",
            number,
            own,
            collection.prompts,
        )
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
