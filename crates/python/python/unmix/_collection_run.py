"""A collection that is under way: from texts to complete shards, one after the other."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ._adapter import Adapter
from ._capture import Capture
from ._layer_files import LayerFiles
from ._manifest import PROMPTS, Manifest
from ._probe import Figures, check_probe, probe
from ._sequences import Encoder, Prompt, batches
from ._shard_file import DTYPES, named
from ._texts import Text, chain
from ._token_progress import TokenProgress

# Texts that the tokenizer gets at once.
TOKENIZED_TOGETHER = 64
# Bytes of the token columns for each row.
COLUMN_BYTES = 12
# Rows of a file, whose tokens are in memory at once.
MOST_ROWS = 1 << 20


class Run:
    """Collects what a folder does not have yet."""

    def __init__(self, adapter: Adapter, encoder: Encoder, folder: Path, manifest: Manifest) -> None:
        self._adapter, self._encoder, self._folder, self._manifest = adapter, encoder, folder, manifest
        options = manifest.options
        row_bytes = max(manifest.widths.values()) * DTYPES[options["dtype"]][1] + COLUMN_BYTES
        self._rows_per_shard = min(max(1, options["shard_size"] // row_bytes), MOST_ROWS)

    def go(self, texts: Iterator[Text], progress: bool) -> None:
        """Reads all texts, and writes the shards that are missing.

        Raises
        ------
        ValueError
            If the folder has activations of other texts, or there are no tokens.
        """
        manifest, options = self._manifest, self._manifest.options
        digest, first = self._skip(texts)
        capture = Capture(self._adapter, options["layers"], options["site"], options["dtype"])
        if first is not None and manifest.probe:
            with capture:
                check_probe(manifest.probe, self._probe(first, capture), self._adapter.dtype, self._folder)
        if manifest.is_complete:
            return
        with TokenProgress(progress, manifest.last("tokens", 0)) as shown, capture:
            for prompts in self._shards(texts):
                digest = self._write_shard(prompts, digest, capture, shown)
        if manifest.last("tokens", 0) == 0:
            raise ValueError(
                "there are no tokens to collect: texts is empty, or has nothing but empty texts and special tokens"
            )
        manifest.is_complete = True
        manifest.write(self._folder)

    def _skip(self, texts: Iterator[Text]) -> tuple[str, Prompt | None]:
        """Reads the texts that are in complete shards. Returns their digest, and the first one with tokens."""
        manifest = self._manifest
        count, digest, read = manifest.last("texts", 0), "", 0
        first: Prompt | None = None
        for text in itertools.islice(texts, count):
            digest = chain(digest, text)
            if first is None:
                (prompt,) = self._encoder.encode([text], read)
                first = prompt if prompt.rows else None
            read += 1
        is_longer = manifest.is_complete and next(texts, None) is not None
        if read < count or digest != manifest.last("digest", "") or is_longer:
            raise ValueError(f"{self._folder} holds activations of other texts; give the same texts, or another folder")
        return digest, first

    def _probe(self, prompt: Prompt, capture: Capture) -> Figures:
        return probe(prompt, capture, self._manifest.options["padding_side"], self._pad())

    def _shards(self, texts: Iterator[Text]) -> Iterator[list[Prompt]]:
        """The prompts of each shard."""
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
        """Writes one shard, then says so in the manifest. Returns the digest of all texts so far."""
        manifest, options = self._manifest, self._manifest.options
        token_norms, bos_norms = dict.fromkeys(options["layers"], 0.0), dict.fromkeys(options["layers"], 0.0)
        begins = 0
        first = next((prompt for prompt in prompts if prompt.rows), None)
        if first is not None and not manifest.probe:
            manifest.probe = self._probe(first, capture)
        with LayerFiles(self._folder, manifest, prompts) as files:
            for batch in batches(prompts, options["batch_size"], options["padding_side"], self._pad()):
                begins += len(batch.starts)
                for layer, captured in capture.run(batch).items():
                    token_norms[layer] += captured.token_norms
                    bos_norms[layer] += captured.bos_norms
                    files.put(layer, captured.rows, batch.owners)
                shown.add(len(batch.kept))
            written = files.finish()
        size = self._append(prompts)
        for prompt in prompts:
            digest = chain(digest, prompt.text)
        manifest.shards.append(
            {
                "rows": files.rows,
                "tokens": manifest.last("tokens", 0) + files.rows,
                "texts": prompts[-1].number + 1,
                "truncated": manifest.last("truncated", 0) + sum(prompt.truncated for prompt in prompts),
                "prompts_bytes": size,
                "digest": digest,
                "begins": begins,
                "files": written,
                "token_norm_sums": {str(layer): value for layer, value in token_norms.items()},
                "bos_norm_sums": {str(layer): value for layer, value in bos_norms.items()},
            }
        )
        manifest.write(self._folder)
        return digest

    def _append(self, prompts: Sequence[Prompt]) -> int:
        """Adds lines to the file of texts. Returns its size."""
        keep_text = self._manifest.options["keep_text"]
        path = self._folder / PROMPTS
        with named(path), path.open("ab") as file:
            # What is behind the last complete shard is of a run that was killed.
            file.truncate(self._manifest.last("prompts_bytes", 0))
            file.seek(0, os.SEEK_END)
            for prompt in prompts:
                text = {"text": prompt.text.text} if keep_text else {}
                record = {"prompt_id": prompt.number, **prompt.text.fields, **text, "tokens": prompt.rows}
                file.write(json.dumps(record, ensure_ascii=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            return file.tell()

    def _pad(self) -> int:
        """The id at padding. No token sees it."""
        tokenizer = self._adapter.tokenizer
        known = (getattr(tokenizer, name, None) for name in ("pad_token_id", "eos_token_id"))
        return next((token for token in known if token is not None), 0)
