"""Matrices of activations: read from safetensors files, and made from a seed. Needs numpy alone."""
import json
import mmap
from pathlib import Path

import numpy as np

# Of synthetic activations, as in `unmix bench`: planted directions a feature of the fit, and those active in a token.
# With one direction a feature the fit would be too good and its coefficients sparser than they ever are.
DIRECTIONS_PER_FEATURE = 4
ACTIVE = 12
# Rows that are made at a time, to keep the memory small.
BLOCK = 256

DTYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I32": np.int32, "I64": np.int64}


class Tensors:
    """The tensors of a safetensors file, memory-mapped."""

    def __init__(self, path):
        self.path = Path(path)
        with self.path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        length = int.from_bytes(self._map[:8], "little")
        header = json.loads(self._map[8 : 8 + length])
        header.pop("__metadata__", None)
        self._start, self.entries = 8 + length, header

    def __getitem__(self, name):
        """The tensor as an array; bfloat16 becomes float32."""
        entry = self.entries[name]
        begin, end = entry["data_offsets"]
        bits = entry["dtype"] == "BF16"
        dtype = np.dtype(np.uint16 if bits else DTYPES[entry["dtype"]])
        count = (end - begin) // dtype.itemsize
        array = np.frombuffer(self._map, dtype, count, self._start + begin).reshape(entry["shape"])
        return (array.astype(np.uint32) << 16).view(np.float32) if bits else array


def activations(path):
    """The matrix of a file, [n, d], and its element type: the tensor `activations`, or the only matrix there is."""
    tensors = Tensors(path)
    found = [n for n, e in tensors.entries.items() if len(e["shape"]) == 2 and e["dtype"] in ("F16", "F32", "BF16")]
    name = "activations" if "activations" in found else found[0] if len(found) == 1 else None
    if name is None:
        raise SystemExit(f"{path}: the matrices are {', '.join(found) or 'none'}; one called `activations` is needed")
    return tensors[name], tensors.entries[name]["dtype"].lower()


def write(path, name, shape, blocks, dtype="F16"):
    """Writes a safetensors file with one tensor, given as arrays of rows that follow each other."""
    size = np.dtype(DTYPES[dtype]).itemsize * int(np.prod(shape))
    header = json.dumps({name: {"dtype": dtype, "shape": list(shape), "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)
    unfinished = Path(f"{path}.part")
    with unfinished.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, DTYPES[dtype]).tobytes())
    unfinished.replace(path)


def synthetic(tokens, neurons, rank, seed):
    """Blocks of activations as a gated MLP makes them: signed noise of heavy tails and in each token some of the
    planted directions, each of them 1% of the neurons."""
    random = np.random.default_rng(seed)
    count, planted = DIRECTIONS_PER_FEATURE * rank, max(1, neurons // 100)
    places = random.integers(0, neurons, (count, planted))
    values = random.uniform(-2, 2, (count, planted)).astype(np.float32)
    for first in range(0, tokens, BLOCK):
        rows = min(BLOCK, tokens - first)
        # A product of two uniform numbers has heavier tails than either.
        block = random.uniform(-0.3, 0.3, (rows, neurons)).astype(np.float32)
        block *= random.uniform(-1, 1, (rows, neurons)).astype(np.float32)
        chosen = random.integers(0, count, (rows, ACTIVE))
        weights = random.uniform(0.2, 2, (rows, ACTIVE)).astype(np.float32)
        for row in range(rows):
            np.add.at(block[row], places[chosen[row]], weights[row][:, None] * values[chosen[row]])
        yield block.astype(np.float16)


def make_start(path, tokens, rank, seed):
    """Writes coefficients to start from, uniform in [0, 1)."""
    values = np.random.default_rng(seed).random((tokens, rank), np.float32)
    write(path, "coefficients", values.shape, [values], "F32")


def make(path, tokens, neurons, rank, seed):
    """Writes synthetic activations unless the file is there."""
    if not Path(path).exists():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write(path, "activations", (tokens, neurons), synthetic(tokens, neurons, rank, seed))
