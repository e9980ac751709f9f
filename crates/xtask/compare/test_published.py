"""The published iteration in PyTorch against reference runs in double precision.

The folder of the references can be set in UNMIX_GOLDEN, the device in UNMIX_DEVICE.
"""
import json
import os
import unittest
from pathlib import Path

import torch
from matrices import Tensors
from published import Published

GOLDEN = Path(os.environ.get("UNMIX_GOLDEN", Path(__file__).resolve().parents[3] / "tests/data/golden"))
DEVICE = os.environ.get("UNMIX_DEVICE", "cpu")


class PublishedIteration(unittest.TestCase):
    def trajectory(self, name, dtype, feature_tolerance, loss_tolerance, iterations):
        settings, tensors = json.loads((GOLDEN / f"{name}.json").read_text()), Tensors(GOLDEN / f"{name}.safetensors")

        def matrix(key):
            return torch.tensor(tensors[key], dtype=dtype, device=DEVICE)

        published = Published(matrix("activations"), matrix("coefficients_init"), settings["sparsity"])
        self.assertEqual(published.kept, settings["kept_per_feature"])
        self.assertAlmostEqual(published.squared_norm / settings["squared_norm"], 1, delta=1e-7)
        for iteration in range(1, iterations + 1):
            published.step()
            wanted = settings["losses"][iteration - 1]
            self.assertLess(abs(published.loss() / wanted - 1), loss_tolerance, f"{name}, loss {iteration}")
            if f"features.{iteration}" in tensors.entries:
                for key, found in (("features", published.z), ("coefficients", published.y)):
                    wanted = matrix(f"{key}.{iteration}")
                    off = float((found - wanted).abs().max() / wanted.abs().max())
                    self.assertLess(off, feature_tolerance, f"{name}, {key} {iteration}")

    def test_formulas(self):
        for name in ("paper-p0.05", "paper-p1.0"):
            self.trajectory(name, torch.float64, 1e-6, 1e-9, 100)

    def test_single_precision(self):
        for name in ("paper-p0.05", "paper-p1.0"):
            self.trajectory(name, torch.float32, 1e-4, 1e-5, 20)


if __name__ == "__main__":
    unittest.main()
