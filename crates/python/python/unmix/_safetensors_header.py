"""The metadata of a safetensors file."""

from __future__ import annotations

import json
from pathlib import Path

# The format's own limit.
MOST = 100_000_000


def metadata(path: Path) -> dict[str, str]:
    """What the header says besides the tensors. Empty if there is no such file, or it is of another format."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= MOST:
                return {}
            found = json.loads(file.read(length)).get("__metadata__", {})
    except (OSError, ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}
