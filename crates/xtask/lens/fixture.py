"""What the tests of the lens keep of the models: one file of tensors and one of configurations."""
import json

from families import LAYER
from safetensors import safe_open
from safetensors.torch import save_file

# Of other layers, and of other parts of a layer, nothing is kept.
KEPT = ("down_proj", "c_proj", "dense_4h_to_h", "fc2", "fc_out", "w2", "output_linear", "post_feedforward", "post_mlp")
DROPPED = ("attn", "vis", "per_layer", "altup", "projector")
# Families of which the variant with the embedding for the unembedding is kept; those with the down-projection square.
TIED = ("gpt2", "gpt_neox", "llama", "phi", "gemma2", "gemma3", "mistral3", "qwen3_5", "mpt", "lfm2", "falcon")
SQUARE = ("gpt2", "gpt_neo", "llama", "llama4_text", "gpt_oss", "mixtral", "granitemoe")


class Fixture:
    def __init__(self):
        self.tensors, self.models = {}, {}

    def add(self, family, tied, square, part, folder, features, logits):
        """A model with a part of it, and the logits [K, tokens] of features [K, neurons] by its own forward."""
        if tied and family.model_type not in TIED or square and family.model_type not in SQUARE:
            return
        name = f"{family.model_type}-{'tied' if tied else 'square' if square else 'separate'}"
        model = self.models.setdefault(name, {"config": config(folder), "parts": []})
        key = f"{name}/{len(model['parts'])}"
        self.tensors[f"{key}/features"], self.tensors[f"{key}/logits"] = features.contiguous(), logits.contiguous()
        arguments = dict(zip(part.arguments[::2], part.arguments[1::2]))
        model["parts"].append({"expert": part.expert, "down_projection": arguments.get("--down-proj")})
        with safe_open(folder / "model.safetensors", "pt") as file:
            for tensor in filter(is_kept, file.keys()):
                self.tensors[f"{name}/model/{tensor}"] = file.get_tensor(tensor)

    def write(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.tensors, folder / "families.safetensors")
        lines = (f"{json.dumps(name)}: {json.dumps(model)}" for name, model in sorted(self.models.items()))
        (folder / "families.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def config(folder):
    """The model's configuration, without the parts about images and sound."""
    values = json.loads((folder / "config.json").read_text())
    return {key: value for key, value in values.items() if key not in ("vision_config", "audio_config")}


def is_kept(tensor):
    numbers = [int(word) for word in tensor.split(".") if word.isdigit()]
    if any(word in tensor for word in DROPPED):
        return False
    return not numbers or numbers[0] == LAYER and any(word in tensor for word in KEPT)
