"""Steer a model with features that unmix found: adds their directions to the residual stream behind a layer."""
from pathlib import Path

from safetensors.torch import load_file

# Where models of transformers have their layers.
LAYERS = (
    "model.layers", "model.language_model.layers", "model.text_model.layers", "model.decoder.layers",
    "language_model.model.layers", "transformer.h", "transformer.blocks", "gpt_neox.layers",
    "layers", "h",
)


def load(folder=Path(__file__).parent):
    return load_file(Path(folder) / "steering.safetensors")


def layers_of(model):
    """The list of a model's layers."""
    modules = dict(model.named_modules())
    for name in LAYERS:
        if name in modules:
            return modules[name]
    raise ValueError(f"no layers found at {', '.join(LAYERS)}; add the name that this model has for its layers to LAYERS")


def steer(model, layer, tensors, feature, strength):
    """Adds `strength` times as much of `feature` to every token as `layer` writes where the fit saw the feature strongest;
    a negative strength takes it away. Undo it with `.remove()` on what is returned."""
    unit = tensors["strength_units"][feature]
    if unit == 0:
        raise ValueError(f"feature {feature} is dead: no token uses it, so there is nothing to steer by")
    direction = strength * unit * tensors["unit_directions"][feature]

    def add(module, args, output):
        # Some versions of transformers return more than the residual stream.
        if isinstance(output, tuple):
            return (output[0] + direction.to(output[0]), *output[1:])
        return output + direction.to(output)

    return layers_of(model)[layer].register_forward_hook(add)
