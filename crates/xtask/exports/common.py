"""What the scripts share: the fit, its activations, and comparisons that are printed and judged."""
import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


class Fit:
    """A fit as `unmix fit` wrote it, in the scale of exports, and the activations that were fitted."""

    def __init__(self, folder, activations):
        tensors = load_file(Path(folder) / "factorization.safetensors")
        norms = np.linalg.norm(tensors["features"].astype(np.float64), axis=1)
        self.features = tensors["features"] / np.where(norms > 0, norms, 1)[:, None]
        self.coefficients = tensors["coefficients"] * norms
        self.token_ids, self.prompt_ids = tensors["token_ids"], tensors["prompt_ids"]
        self.activations = load_file(activations)["activations"].astype(np.float64)
        self.error = json.loads((Path(folder) / "run.json").read_text())["relative_error"]

    def error_of(self, reconstruction):
        """Relative squared error of a reconstruction of the activations."""
        return ((self.activations - np.asarray(reconstruction, np.float64)) ** 2).sum() / (self.activations**2).sum()


_failed = []


def same(what, found, expected, tolerance=0.0):
    """Prints two numbers and notes if they are further apart than the tolerance."""
    good = abs(found - expected) <= tolerance
    print(f"  {what}: {found:.6g}, expected {expected:.6g} (tolerance {tolerance:g}){'' if good else '  <-- WRONG'}")
    if not good:
        _failed.append(what)


def below(what, found, limit):
    """Prints a number and notes if it is above the limit, or no number."""
    good = found <= limit
    print(f"  {what}: {found:.6g}, at most {limit:g}{'' if good else '  <-- WRONG'}")
    if not good:
        _failed.append(what)


def finish():
    """Ends the script: exit code 1 if something was wrong."""
    sys.exit(1 if _failed else 0)
