"""Opens a steering export: python open_steering.py EXPORT FIT ACTIVATIONS PROJECTION"""
import sys

import torch
from common import Fit, below, finish, same
from safetensors.torch import load_file

sys.path.insert(0, sys.argv[1])
from steer import load, steer

fit = Fit(*sys.argv[2:4])
projection = load_file(sys.argv[4])["down_proj"]
tensors = load()
expected = torch.tensor(fit.features, dtype=torch.float32) @ projection.T
cosines = torch.nn.functional.cosine_similarity(tensors["directions"], expected)
below("largest 1 - cosine of a direction to W_out z", (1 - cosines).max().item(), 1e-5)
below("largest difference of a norm to 1", (tensors["unit_directions"].norm(dim=1) - 1).abs().max().item(), 1e-5)
same("most that feature 0 adds", (tensors["max_activations"] * tensors["direction_norms"])[0].item(),
     fit.coefficients[:, 0].max() * expected[0].norm().item(), 1e-3)


class Block(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.mlp = torch.nn.Linear(width, width)

    def forward(self, x):
        return x + self.mlp(x)


class Model(torch.nn.Module):
    """A tiny model with the layout of those of Hugging Face."""

    def __init__(self, width):
        super().__init__()
        self.model = torch.nn.Module()
        self.model.layers = torch.nn.ModuleList(Block(width) for _ in range(3))

    def forward(self, x):
        for layer in self.model.layers:
            x = layer(x)
        return x


torch.manual_seed(0)
width = tensors["directions"].shape[1]
model, x = Model(width), torch.randn(5, width)
with torch.no_grad():
    before = model(x)
    handle = steer(model, 2, tensors, feature=1, strength=4.0)
    change = model(x) - before
    handle.remove()
    after = model(x)
largest = 4 * float(fit.coefficients[:, 1].max()) * expected[1]
below("difference of what steering adds to 4 times the most that the fit saw, relative to it",
      ((change - largest).abs().max() / largest.abs().max()).item(), 1e-4)
same("difference once the hook is removed", (after - before).abs().max().item(), 0)
finish()
