"""Steer a model with features that unmix found: adds their directions to the output of an MLP."""
from pathlib import Path

from safetensors.torch import load_file


def load(folder=Path(__file__).parent):
    return load_file(Path(folder) / "steering.safetensors")


def steer(model, layer, tensors, feature, strength):
    """Adds `strength` unit directions of `feature` to every token; undo it with `.remove()` on what is returned."""
    direction = strength * tensors["unit_directions"][feature]
    mlp = model.model.layers[layer].mlp
    return mlp.register_forward_hook(lambda module, args, output: output + direction.to(output))
