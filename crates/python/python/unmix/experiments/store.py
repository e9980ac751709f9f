"""The folder of an experiment: its settings, and one line for each layer, method, concept and seed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Key = tuple[int, str, str, int]
# The kinds of lines: scores of each direction, texts written with some of them, a judge's opinion of the texts.
SCORES, TEXTS, JUDGED = "scores", "texts", "judged"


class Store:
    """Lines that are kept as they come, so that a stopped experiment goes on.

    Parameters
    ----------
    folder : path-like
        Where the lines are kept. It is made if it does not exist.
    settings : dict, optional
        What the lines depend on. A folder with lines of other settings is refused.

    Raises
    ------
    ValueError
        If the folder has lines of other settings.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: dict[str, Any] | None = None) -> None:
        self.folder = Path(folder)
        header = self.folder / "experiment.json"
        if settings is None:
            if not header.exists():
                raise ValueError(f"{self.folder} holds no steering experiment: it has no experiment.json")
            settings = json.loads(header.read_text(encoding="utf-8"))
        elif header.exists():
            earlier = json.loads(header.read_text(encoding="utf-8"))
            other = sorted(name for name in {*earlier, *settings} if earlier.get(name) != settings.get(name))
            if other:
                changes = "; ".join(f"{name} was {earlier.get(name)!r} and is {settings.get(name)!r}" for name in other)
                raise ValueError(
                    f"{self.folder} holds an experiment with other settings "
                    f"({changes}); choose another folder or the same ones"
                )
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(header, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
        self.settings = settings

    def _path(self, kind: str, layer: int) -> Path:
        return self.folder / f"{kind}-L{layer}.jsonl"

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """All complete lines of a kind, in the order of layers."""
        paths = sorted(self.folder.glob(f"{kind}-L*.jsonl"), key=lambda path: int(path.stem.removeprefix(f"{kind}-L")))
        return [line for path in paths for line in _read(path)]

    def known(self, kind: str, layer: int) -> dict[Key, dict[str, Any]]:
        """The lines of a kind that a layer has already. A line that was cut off by a kill is removed."""
        path = self._path(kind, layer)
        if not path.exists():
            return {}
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
        return {key_of(line): line for line in _read(path)}

    def add(self, kind: str, line: dict[str, Any]) -> None:
        """Appends a line of a kind, and waits until it is on the disk."""
        with self._path(kind, line["layer"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def key_of(line: dict[str, Any]) -> Key:
    """What a line is about."""
    return line["layer"], line["method"], line["concept"], line["seed"]


def write_whole(path: Path, text: str) -> None:
    """Writes a file under another name first, so that it is never there in part."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _read(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)
