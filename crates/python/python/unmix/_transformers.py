"""Models of transformers, also inside those of nnsight."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _unmix
from ._adapter import Adapter, Edit, Hook, Norm, Site, check_site, to_numpy

if TYPE_CHECKING:
    import torch

LAYER = "{layer}"
EXAMPLE = f'down_proj="model.layers.{LAYER}.mlp.down_proj"'


def unwrap_nnsight(model: Any) -> Any:
    """The model of transformers inside a model of nnsight, with its weights loaded."""
    if not getattr(model, "dispatched", True):
        model.dispatch()
    for name in ("_module", "_model"):
        module = model.__dict__.get(name)
        if hasattr(module, "config") and hasattr(module, "named_modules"):
            return module
    raise TypeError(
        f"{type(model).__name__} of nnsight has no model of transformers in it; "
        "give a LanguageModel or TransformersModel"
    )


class TransformersAdapter(Adapter):
    """A causal language model of transformers. Its modules are found by its type, as the lens finds its weights."""

    def __init__(self, model: Any, module: Any, tokenizer: Any, kind: str, down_proj: str | None) -> None:
        if hasattr(module, "_orig_mod"):
            raise ValueError("hooks do not act inside a compiled model; give the model as it was before torch.compile")
        self.model, self.module, self.tokenizer, self.kind = model, module, tokenizer, kind
        self._settings = module.config
        text = self._settings.get_text_config() if hasattr(self._settings, "get_text_config") else self._settings
        self._text_settings = text
        types = [getattr(settings, "model_type", None) for settings in (self._settings, text)]
        self._family = next((family for name in types if name and (family := _unmix.model_family(name))), None)
        self._down_proj = down_proj
        self._layers_path = self._find_layers()
        self._layers = self._at(self._layers_path)
        self.num_layers = len(self._layers)
        self.d_model = self._find_d_model()
        # A model that is partly offloaded must finish its pass, to put its weights away.
        self.may_leave_passes = not hasattr(module, "hf_device_map")
        parameters = inspect.signature(module.forward).parameters
        self._takes_positions = "position_ids" in parameters

    @property
    def config(self) -> dict[str, Any]:
        return {
            key: value
            for key, value in self._settings.to_dict().items()
            if key not in ("_name_or_path", "transformers_version")
        }

    @property
    def name(self) -> str:
        return str(getattr(self._settings, "_name_or_path", "") or "")

    @property
    def max_positions(self) -> int | None:
        names = ("max_position_embeddings", "n_positions", "max_seq_len")
        return next(
            (value for name in names if isinstance(value := getattr(self._text_settings, name, None), int)), None
        )

    @property
    def vocabulary_size(self) -> int | None:
        with contextlib.suppress(AttributeError, NotImplementedError):
            return int(self.module.get_input_embeddings().num_embeddings)
        return None

    @property
    def blocks(self) -> Sequence[torch.nn.Module]:
        """The layers in order. Each takes the residual stream first, and returns it alone or first in a tuple."""
        return self._layers

    def hook(self, layer: int, site: Site, edit: Edit) -> Hook:
        check_site(site)
        layer = self.check_layer(layer)
        if site == "resid":
            return Hook(self._layers[layer].register_forward_hook(self._edit_output(layer, edit)).remove)
        module = self._down(layer)
        if site == "mlp_out":
            return Hook(module.register_forward_hook(lambda module, given, output: edit(output)).remove)
        return Hook(module.register_forward_pre_hook(_edit_input(edit)).remove)

    def hook_passes(self, before: Callable[[int | None], None]) -> Hook:
        def look(module: Any, given: tuple, named: dict[str, Any]) -> None:
            before(_cached_tokens(named))

        return Hook(self.module.register_forward_pre_hook(look, with_kwargs=True).remove)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        named: dict[str, Any] = {"input_ids": input_ids, "use_cache": False}
        # Without a mask, models run as they do on a text alone.
        if attention_mask is not None:
            named["attention_mask"] = attention_mask
            if self._takes_positions and not bool(attention_mask[:, 0].all()):
                named["position_ids"] = (attention_mask.cumsum(-1) - 1).clamp(min=0)
        return self.module(**named).logits

    def project(self, layer: int, neurons: torch.Tensor) -> torch.Tensor:
        import torch

        down = self._down(self.check_layer(layer))
        with torch.no_grad():
            neurons = neurons.to(next(down.parameters()))
            # `forward` itself, because hooks are for the model's own passes.
            return down.forward(neurons) - down.forward(torch.zeros_like(neurons))

    def write(self, layer: int, out: torch.Tensor) -> torch.Tensor:
        import torch

        family = self._known_family('steer at site="neurons" or site="mlp_out"')
        block = self._layers[self.check_layer(layer)]
        with torch.no_grad():
            for name in family["post_norms"]:
                norm = _get(block, name.removesuffix(".weight"))
                out = out if norm is None else norm.forward(out)
            key = family["residual_multiplier"]
            return out * getattr(self._text_settings, key, 1.0) if key else out

    def down_projection(self, layer: int) -> np.ndarray:
        module = self._down(self.check_layer(layer))
        weight = to_numpy(module.weight, f"the down-projection of layer {layer}")
        return weight.T if _is_transposed(module) else weight

    def d_ff(self, layer: int) -> int:
        module = self._down(self.check_layer(layer))
        for name in ("in_features", "nx"):
            if isinstance(width := getattr(module, name, None), int):
                return width
        return int(module.weight.shape[0 if _is_transposed(module) else 1])

    def unembedding(self) -> np.ndarray:
        head = self.module.get_output_embeddings()
        if head is None:
            raise ValueError(
                f"{type(self.module).__name__} has no unembedding; "
                "give a model that predicts tokens (AutoModelForCausalLM)"
            )
        return to_numpy(head.weight, "the unembedding")

    def final_norm(self) -> Norm:
        family = self._known_family("give the weights of the final norm as arrays")
        prefix = self._layers_path.removesuffix(family["layers"])
        module = self._at(prefix + family["final_norm"].removesuffix(".weight"))
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        key, default = family["epsilon"]
        epsilon = getattr(self._text_settings, key, None) if key else None
        return Norm(
            kind=family["norm"],
            weight=None if weight is None else to_numpy(weight, "the final norm"),
            bias=None if bias is None else to_numpy(bias, "the final norm's bias"),
            epsilon=float(default if epsilon is None else epsilon),
        )

    def _at(self, path: str) -> Any:
        return (
            functools.reduce(lambda module, name: getattr(module, name), path.split("."), self.module)
            if path
            else self.module
        )

    def _has(self, path: str) -> bool:
        try:
            return self._at(path) is not None
        except AttributeError:
            return False

    def _find_layers(self) -> str:
        if self._down_proj is not None:
            path, number, _ = self._down_proj.partition(f".{LAYER}.")
            if not number:
                raise ValueError(
                    f"down_proj has {LAYER} where the number of the layer stands; given was {self._down_proj!r}"
                )
            looked = [path]
        else:
            family = self._known_family(f"give the path of the down-projection: {EXAMPLE}")
            looked = [prefix + family["layers"] for prefix in _unmix.layer_prefixes()]
        for path in looked:
            if self._has(path):
                return path
        raise ValueError(
            f"{type(self.module).__name__} has no layers at {', '.join(looked)}; "
            f"give the path of the down-projection: {EXAMPLE}"
        )

    def _known_family(self, advice: str) -> _unmix.ModelFamily:
        if self._family is None:
            raise ValueError(f"unmix does not know models of type {self._settings.model_type!r}; {advice}")
        return self._family

    def _down(self, layer: int) -> Any:
        """The down-projection of a layer."""
        block = self._layers[layer]
        if self._down_proj is not None:
            path = self._down_proj.replace(LAYER, str(layer))
            if not self._has(path):
                raise ValueError(f"the model has no module {path}, which down_proj names for layer {layer}")
            return self._at(path)
        names = self._known_family(f"give the path of the down-projection: {EXAMPLE}")["down"]
        found = [name for name in names if _get(block, name) is not None]
        template = f'down_proj="{self._layers_path}.{LAYER}.{found[0] if found else "PATH"}"'
        if any(name.rpartition(".")[2] == "experts" for name, _ in block.named_modules()):
            advice = f"give the one that every token passes: {template}" if found else "choose a dense layer"
            raise ValueError(f"layer {layer} has experts, so not all of its tokens have the same neurons; {advice}")
        if not found:
            raise ValueError(
                f"layer {layer} has none of the modules {', '.join(names)}; give the path of the module "
                f"whose input are the neurons: {template}"
            )
        return _get(block, found[0])

    def _find_d_model(self) -> int:
        embedding = self.module.get_input_embeddings()
        width = getattr(self._text_settings, "hidden_size", None)
        return int(width if width is not None else embedding.weight.shape[1])

    def _edit_output(self, layer: int, edit: Edit) -> Callable[..., Any]:
        def hook(module: Any, given: Any, output: Any) -> Any:
            stream = output[0] if isinstance(output, tuple) else output
            if stream.shape[-1] != self.d_model or stream.ndim > 3:
                raise ValueError(
                    f"layer {layer} returns {tuple(stream.shape)}, no residual stream of width {self.d_model}; "
                    'models of this type work with site="neurons" and site="mlp_out"'
                )
            edited = edit(stream)
            if edited is None:
                return None
            return (edited, *output[1:]) if isinstance(output, tuple) else edited

        return hook


def _edit_input(edit: Edit) -> Callable[..., Any]:
    def hook(module: Any, given: tuple) -> Any:
        edited = edit(given[0])
        return None if edited is None else (edited, *given[1:])

    return hook


def _get(module: Any, path: str) -> Any:
    with contextlib.suppress(AttributeError):
        return functools.reduce(getattr, path.split("."), module)
    return None


def _is_transposed(module: Any) -> bool:
    """Whether the weight is (d_ff, d_model), as in GPT-2."""
    inner = getattr(module, "original_component", module)
    return type(inner).__name__ == "Conv1D"


def _cached_tokens(named: dict[str, Any]) -> int | None:
    """How many tokens came before those of a forward pass. None if there is no cache for them."""
    # Versions of transformers give the cache different names.
    cache = next((value for value in named.values() if hasattr(value, "get_seq_length")), None)
    if cache is None:
        return None if named.get("use_cache") is False else 0
    length, positions = int(cache.get_seq_length()), named.get("position_ids")
    # The cache of some libraries says nothing of its length. A prompt has a first position, later passes have not.
    return length or (0 if positions is None else int(positions.min()))
