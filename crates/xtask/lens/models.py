"""Models of a family in random numbers, what they save, and the logits that they give for directions of neurons."""
import torch
from families import LAYER, NEURONS, WIDTH
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText


def make(family, tied, square, seed):
    """A model of the family, with the embedding for its unembedding or not, and with as many neurons as dimensions or not."""
    text = {key: WIDTH if square and value == NEURONS else value for key, value in family.config.items()}
    text["tie_word_embeddings"] = tied
    kind = CONFIG_MAPPING[family.model_type]
    torch.manual_seed(seed)
    if family.vision is None:
        model = AutoModelForCausalLM.from_config(kind(**text))
    else:
        sound = {"audio_config": None} if family.model_type == "gemma4" else {}
        model = AutoModelForImageTextToText.from_config(
            kind(text_config=text, vision_config=family.vision, tie_word_embeddings=tied, **sound))
    with torch.no_grad():
        # The initial ones and zeros of norms and biases would hide what is left out.
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.5)
    return model.eval()


def down_projection(layer, part):
    """A function from neurons to what the part writes, without its bias."""
    module = layer.get_submodule(part.module)
    if part.expert is None:
        return lambda z: module(z) - module(torch.zeros_like(z))
    matrix = module.down_proj[part.expert]
    return lambda z: z @ (matrix if part.is_transposed else matrix.T)


def neurons(model, family, part):
    """Neurons of the part."""
    module = model.get_submodule(family.layers)[LAYER].get_submodule(part.module)
    shape = (module.weight if part.expert is None else module.down_proj[0]).shape
    return next((size for size in shape if size != WIDTH), WIDTH)


@torch.no_grad()
def logits(model, family, part, features):
    """The logits [K, tokens] of features [K, neurons]: the part's down-projection, what is behind it, and the model's own
    forward from its final norm on, into which the directions are put."""
    layer = model.get_submodule(family.layers)[LAYER]
    directions = down_projection(layer, part)(features)
    for name in part.post_norms:
        norm = layer.get_submodule(name)
        epsilon = getattr(norm, "eps", getattr(norm, "variance_epsilon", None))
        # A norm divides by the size of all that it gets; a direction is what is left without that.
        size = (directions.square().mean(-1, keepdim=True) + epsilon).sqrt()
        directions = norm(directions) * size
    directions = directions * getattr(layer, "residual_multiplier", 1.0)
    if family.is_linear and not part.post_norms:
        added = added_to_the_residual_stream(model, layer, part, features)
        difference = (added - directions).abs().max().item()
        assert difference < 1e-4, f"{family.model_type}: the layer adds something else, by {difference}"
    norm = model.get_submodule(family.final_norm)
    handle = norm.register_forward_pre_hook(lambda module, given: (directions[None], *given[1:]))
    found = forward(model, len(features)).logits[0]
    handle.remove()
    return found


def forward(model, tokens):
    return model(input_ids=torch.arange(tokens)[None] % 8 + 3, use_cache=False)


def added_to_the_residual_stream(model, layer, part, features):
    """What the layer adds with `features` for neurons, above what it adds without any."""
    outputs = []
    keep = layer.register_forward_hook(lambda module, given, output: outputs.append(
        output[0] if isinstance(output, tuple) else output))
    for z in (features, torch.zeros_like(features)):
        replace = layer.get_submodule(part.module).register_forward_pre_hook(lambda module, given, z=z: (shaped(z, given[0]),))
        forward(model, len(features))
        replace.remove()
    keep.remove()
    return (outputs[0] - outputs[1]).reshape(len(features), -1)


def shaped(z, like):
    return z.reshape(like.shape)
