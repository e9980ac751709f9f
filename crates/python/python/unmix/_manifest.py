"""What a folder of collected activations says of itself."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from ._shard_file import PART, blake2b, write_whole

FILE = "collection.json"
PROMPTS = "prompts.jsonl"
FORMAT = "unmix-collection-1"
# Files of up to so many bytes together are all hashed before a run goes on.
HASHED_BYTES = 4 << 30


@dataclasses.dataclass
class Manifest:
    """The content of ``collection.json``.

    Attributes
    ----------
    options : dict
        Everything that the files depend on but model, tokenizer and texts.
    model : dict
        What tells the model from others.
    tokenizer_sha256 : str
    widths : dict from str to int
        Numbers per token of each layer.
    shards : list of dict
        What each complete shard has: texts, tokens, bytes of prompts.jsonl and digest of the texts up to its end, and
        sums of norms, and size and hash of files, of its own.
    is_complete : bool
        Whether all texts were collected.
    probe : dict
        Figures of the activations of the first text with tokens (see `unmix._probe`).
    """

    options: dict[str, Any]
    model: dict[str, Any]
    tokenizer_sha256: str
    widths: dict[str, int]
    shards: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    is_complete: bool = False
    probe: dict[str, Any] = dataclasses.field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Replaces the file in the folder."""
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        write_whole(folder / FILE, json.dumps(content, indent=1, ensure_ascii=False).encode())

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Reads the file of a folder.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is something else.
        """
        path = folder / FILE
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} is no collection: it has no {FILE}; give a folder that unmix.collect wrote"
            )
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                raise KeyError("format")
            return cls(**content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} does not say what unmix.collect writes ({error!r}); collect into another folder"
            ) from None

    def last(self, key: str, default: Any) -> Any:
        """An entry of the last complete shard."""
        return self.shards[-1][key] if self.shards else default

    def check_same(self, other: Manifest, folder: Path) -> None:
        """Makes sure that this run may go on in the folder of another one.

        Raises
        ------
        ValueError
            If model, tokenizer or options differ.
        """
        found, given = self._identity(), other._identity()
        different = [
            f"{key} is {found.get(key)!r} there and {given.get(key)!r} now"
            for key in given
            if found.get(key) != given.get(key)
        ]
        if different:
            raise ValueError(
                f"{folder} holds activations that were collected otherwise: {'; '.join(different)}. "
                "Give the same options, or another folder"
            )

    def check_files(self, folder: Path) -> None:
        """Makes sure that the files of all complete shards are there, in their sizes.

        Raises
        ------
        ValueError
            If one is not.
        """
        for name, written in self._files().items():
            path = folder / name
            if not path.is_file():
                raise ValueError(f"{path} is missing, and the collection needs it; collect into another folder")
            if (size := path.stat().st_size) != written["bytes"]:
                raise ValueError(
                    f"{path} has {size} bytes, and had {written['bytes']} when it was written; "
                    "it was changed or cut since, so collect into another folder"
                )
        path, bytes_ = folder / PROMPTS, self.last("prompts_bytes", 0)
        size = path.stat().st_size if path.is_file() else 0
        # A run that was killed may have left more.
        if size < bytes_ or (self.is_complete and size != bytes_):
            raise ValueError(
                f"{path} has {size} bytes, and had {bytes_} when it was written; "
                "it was changed or removed since, so collect into another folder"
            )

    def check_hashes(self, folder: Path) -> None:
        """Makes sure that files have the bytes that were written: all, or those of the last shard if there are many.

        Raises
        ------
        ValueError
            If one has not.
        """
        files = self._files()
        if sum(written["bytes"] for written in files.values()) > HASHED_BYTES:
            files = self.last("files", {})
        for name, written in files.items():
            if blake2b(folder / name) != written["blake2b"]:
                raise ValueError(
                    f"{folder / name} has other bytes than were written; it was changed or damaged since, "
                    "so collect into another folder"
                )

    def _files(self) -> dict[str, dict[str, Any]]:
        """Size and hash of each file of activations. Folders of earlier versions do not have them."""
        return {name: written for shard in self.shards for name, written in shard.get("files", {}).items()}

    def _identity(self) -> dict[str, Any]:
        model = {f"model {key}": value for key, value in self.model.items()}
        return {**self.options, **model, "tokenizer_sha256": self.tokenizer_sha256}


def remove_leftovers(folder: Path) -> None:
    """Removes incomplete files that a killed run has left."""
    for path in (*folder.glob(f"*{PART}"), *folder.glob(f"layer-*/*{PART}")):
        path.unlink()
