"""The file that a page is written to: an earlier page may be replaced, and no other file."""

from __future__ import annotations

import os

# What every page says before its title.
_MARK = b'<meta name="generator" content="unmix">'
_HEAD_BYTES = 2048


def check_page_file(path: str | bytes | os.PathLike[str], force: bool) -> None:
    """Refuse to replace a file that is not a page, before anything is computed. An empty file may be replaced.

    Raises
    ------
    ValueError
        If the file is not a page that unmix wrote.
    OSError
        If it cannot be read.
    """
    if not force or not os.path.isfile(path):
        return
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    if head and _MARK not in head:
        raise ValueError(
            f"{os.fsdecode(path)}: will not be replaced, even when forced, because it is not a page that unmix wrote; "
            "choose another name, or move it away"
        )
