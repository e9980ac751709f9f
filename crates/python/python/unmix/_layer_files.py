"""The files of one shard: one for each layer, with the same rows."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._manifest import Manifest
from ._sequences import Prompt
from ._shard_file import ShardFile, blake2b

if TYPE_CHECKING:
    import torch


class LayerFiles(contextlib.AbstractContextManager):
    """Files that are filled while they are entered, and are complete together after `finish`, or not there at all.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
        With the shards so far.
    prompts : sequence of Prompt
        Whose rows the files hold, in this order.
    """

    def __init__(self, folder: Path, manifest: Manifest, prompts: Sequence[Prompt]) -> None:
        self.rows = sum(prompt.rows for prompt in prompts)
        self._prompts, self._manifest = prompts, manifest
        starts = np.cumsum([0, *(prompt.rows for prompt in prompts)]).tolist()
        self._starts = {prompt.number: start for prompt, start in zip(prompts, starts, strict=False)}
        number = sum(shard["rows"] > 0 for shard in manifest.shards)
        # A shard of nothing but empty texts has no files.
        layers = manifest.options["layers"] if self.rows else []
        self._paths = {layer: folder / f"layer-{layer}" / f"{number:05}.safetensors" for layer in layers}
        self._files: dict[int, ShardFile] = {}

    def __enter__(self) -> LayerFiles:
        with contextlib.ExitStack() as undo:
            for layer, path in self._paths.items():
                self._files[layer] = self._open(layer, path)
                undo.callback(self._files[layer].discard)
            undo.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        for file in self._files.values():
            file.discard()

    def put(self, layer: int, rows: torch.Tensor, owners: Sequence[tuple[Prompt, int, int]]) -> None:
        """Writes rows of a batch to their places. For `owners` see `Batch`."""
        import torch

        if not len(rows):
            return
        data, end = rows.view(torch.uint8).numpy(), 0
        for prompt, row, count in owners:
            start, end = end, end + count
            if count:
                self._files[layer].put(self._starts[prompt.number] + row, data[start:end].data)

    def finish(self) -> dict[str, dict[str, Any]]:
        """Gives the files their names. Returns size and hash of each, by its path in the folder."""
        for file in self._files.values():
            file.finish()
        return {
            f"{path.parent.name}/{path.name}": {"bytes": path.stat().st_size, "blake2b": blake2b(path)}
            for path in self._paths.values()
        }

    def _open(self, layer: int, path: Path) -> ShardFile:
        prompts, options = self._prompts, self._manifest.options
        sequences = [sequence for prompt in prompts for sequence in prompt.sequences]
        columns = {
            "token_ids": np.concatenate([np.array(sequence.ids)[sequence.kept] for sequence in sequences]),
            "prompt_ids": np.repeat([prompt.number for prompt in prompts], [prompt.rows for prompt in prompts]),
            "positions": np.concatenate([np.arange(prompt.rows) for prompt in prompts]),
        }
        metadata = {"model": self._manifest.model["name"], "layer": str(layer), "site": options["site"]}
        return ShardFile(path, self.rows, self._manifest.widths[str(layer)], options["dtype"], columns, metadata)
