"""The folder of a collection while `collect` works in it: nobody else does, and a run that failed leaves no litter."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ._manifest import FILE, PROMPTS, Manifest, remove_leftovers
from ._shard_file import PART

LOCK = "collection.lock"
# The text of the tokens, as the tokenizer has it, or as a list.
TOKENIZER, VOCABULARY = "tokenizer.json", "vocabulary.json"

_log = logging.getLogger("unmix.collect")


@contextlib.contextmanager
def in_use(folder: Path, manifest: Manifest, resume: bool) -> Iterator[Manifest]:
    """Makes the folder, and keeps other runs out of it. Gives the manifest to go on with.

    If an error comes before the first complete shard with tokens, the folder is left as it was.

    Raises
    ------
    FileExistsError
        If the folder holds other files.
    RuntimeError
        If another run works in it.
    ValueError
        If it holds activations that were collected otherwise, or their files are not as they were written.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file; give a folder for out")
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _locked(folder):
            going_on = _begin(folder, manifest, resume)
            try:
                yield going_on
            except BaseException:
                if not going_on.last("tokens", 0):
                    _clear(folder, going_on)
                raise
    except BaseException:
        if is_new:
            # It stays if there is something in it.
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _begin(folder: Path, manifest: Manifest, resume: bool) -> Manifest:
    """The manifest to go on with: that of the folder, or the one given."""
    try:
        found = Manifest.read(folder)
    except FileNotFoundError:
        found = None
    others = [path for path in folder.iterdir() if path.name not in (FILE + PART, LOCK)]
    if others and (found is None or not resume):
        raise FileExistsError(
            f"{folder} is not empty; give another folder" + (", or resume=True to go on" if found else "")
        )
    remove_leftovers(folder)
    if found is not None and (found.shards or found.is_complete):
        found.check_same(manifest, folder)
        found.check_files(folder)
        found.check_hashes(folder)
        return found
    manifest.write(folder)
    return manifest


def _clear(folder: Path, manifest: Manifest) -> None:
    """Removes what a run has written that has no complete shard with tokens."""
    for name in (FILE, PROMPTS, TOKENIZER, VOCABULARY):
        (folder / name).unlink(missing_ok=True)
    for layer in manifest.options["layers"]:
        for path in folder.glob(f"layer-{layer}/*.safetensors"):
            path.unlink()
        with contextlib.suppress(OSError):
            (folder / f"layer-{layer}").rmdir()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder. The system gives it free when a process ends, however that is."""
    path = folder / LOCK
    file = _taken(path)
    try:
        yield
    finally:
        # While the lock is held, so that nobody takes the lock of a file that is gone.
        with contextlib.suppress(OSError):
            path.unlink()
        file.close()
        # Windows does not remove an open file.
        if sys.platform == "win32":
            with contextlib.suppress(OSError):
                path.unlink()


def _taken(path: Path) -> IO[Any]:
    """The open and locked file."""
    while True:
        file = path.open("ab")
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):
            file.close()
            raise RuntimeError(
                f"{path.parent} is in use: another unmix.collect writes to it; wait for it, or give another folder"
            ) from None
        except OSError as error:
            _log.warning("%s cannot be locked (%s); let no other unmix.collect write to it", path.parent, error)
            return file
        # The one who had it before has removed the file.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        file.close()


def _lock(file: IO[Any]) -> None:
    if sys.platform == "win32":
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
