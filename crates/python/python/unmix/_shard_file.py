"""A safetensors file that is filled in any order, and has its name only when it is complete."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

PART = ".part"
DTYPES = {"float16": ("F16", 2), "bfloat16": ("BF16", 2), "float32": ("F32", 4)}


class ShardFile:
    """Activations (rows, width) with token columns.

    Parameters
    ----------
    path : Path
        Where the file will be. Until `finish`, its name has an ending of its own.
    rows, width : int
    dtype : {"float16", "bfloat16", "float32"}
    columns : mapping from str to ndarray of shape (rows,), int32
    metadata : mapping from str to str
        For the header of the file.
    """

    def __init__(
        self,
        path: Path,
        rows: int,
        width: int,
        dtype: str,
        columns: Mapping[str, np.ndarray],
        metadata: Mapping[str, str],
    ) -> None:
        name, item = DTYPES[dtype]
        self._path, self._part = path, path.with_name(path.name + PART)
        self._row_bytes = width * item
        # Columns come first, because their numbers are as long as those of the activations, or longer.
        header: dict[str, object] = {"__metadata__": dict(metadata)}
        end = 0
        for column in columns:
            header[column] = {"dtype": "I32", "shape": [rows], "data_offsets": [end, end + 4 * rows]}
            end += 4 * rows
        header["activations"] = {
            "dtype": name,
            "shape": [rows, width],
            "data_offsets": [end, end + rows * self._row_bytes],
        }
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("wb")
        try:
            with named(self._part):
                self._file.write(len(text).to_bytes(8, "little") + text)
                for values in columns.values():
                    self._file.write(np.ascontiguousarray(values, dtype="<i4").tobytes())
                self._start = self._file.tell()
                self._file.truncate(self._start + rows * self._row_bytes)
        except BaseException:
            self.discard()
            raise

    def put(self, row: int, data: memoryview | bytes) -> None:
        """Writes the bytes of rows from number `row` on."""
        with named(self._part):
            self._file.seek(self._start + row * self._row_bytes)
            self._file.write(data)

    def finish(self) -> None:
        """Gives the file its name, once all its bytes are on the disk."""
        with named(self._part):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        self._part.replace(self._path)

    def discard(self) -> None:
        """Removes an incomplete file. Does nothing to a complete one."""
        # On a full disk the last bytes cannot be written. Nobody needs them.
        with contextlib.suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file that is complete or not there at all."""
    part = path.with_name(path.name + PART)
    try:
        with named(part), part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def blake2b(path: Path) -> str:
    """The hash of a file."""
    digest = hashlib.blake2b()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Gives errors of the system the path of the file, which those of writing do not have."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None
