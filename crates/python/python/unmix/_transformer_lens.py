"""Models of TransformerLens: `HookedTransformer` and `TransformerBridge`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ._adapter import Adapter, Edit, Hook, Norm, Site, check_site, to_numpy
from ._transformers import TransformersAdapter

if TYPE_CHECKING:
    import torch

# Hook points of a layer of a bridge.
POINTS: dict[Site, str] = {"neurons": "mlp.out.hook_in", "mlp_out": "mlp.out.hook_out", "resid": "hook_out"}
NORMS = {"LN": "layer", "LNPre": "layer", "RMS": "rms", "RMSPre": "rms", None: "none"}


def adapt_transformer_lens(model: Any, tokenizer: Any) -> Adapter:
    """An adapter for a model of TransformerLens."""
    tokenizer = tokenizer if tokenizer is not None else getattr(model, "tokenizer", None)
    if hasattr(model, "original_model"):
        return BridgeAdapter(model, tokenizer)
    if hasattr(model, "blocks") and hasattr(getattr(model, "cfg", None), "d_mlp"):
        return HookedAdapter(model, tokenizer)
    raise TypeError(
        f"{type(model).__name__} of TransformerLens is no language model; "
        "give a HookedTransformer or a TransformerBridge"
    )


class BridgeAdapter(TransformersAdapter):
    """A bridge, which wraps the parts of a model of transformers. Its own hook points act in all of its modes."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, model.original_model, tokenizer, "transformer_lens", None)
        # The parts of a bridge remember what has passed them.
        self.may_leave_passes = False

    def hook(self, layer: int, site: Site, edit: Edit) -> Hook:
        check_site(site)
        layer = self.check_layer(layer)
        if site != "resid":
            self._down(layer)
        name = f"blocks.{layer}.{POINTS[site]}"
        if name not in self.model.hook_dict:
            raise ValueError(f"the bridge has no hook {name}; give the model of transformers itself")
        return _hook_point(self.model.hook_dict[name], edit)

    def project(self, layer: int, neurons: torch.Tensor) -> torch.Tensor:
        import torch

        self._down(self.check_layer(layer))
        weight = self.model.blocks[layer].mlp.W_out
        with torch.no_grad():
            return neurons.to(weight) @ weight

    def write(self, layer: int, out: torch.Tensor) -> torch.Tensor:
        import torch

        family = self._known_family('steer at site="neurons" or site="mlp_out"')
        block = self.model.blocks[self.check_layer(layer)]
        with torch.no_grad():
            if family["post_norms"]:
                # The norm inside, because the bridge's own has hook points for the model's passes.
                out = block.ln2_post.original_component.forward(out)
            key = family["residual_multiplier"]
            return out * getattr(self._text_settings, key, 1.0) if key else out

    def down_projection(self, layer: int) -> np.ndarray:
        self._down(self.check_layer(layer))
        return to_numpy(self.model.blocks[layer].mlp.W_out, f"the down-projection of layer {layer}").T

    def d_ff(self, layer: int) -> int:
        self._down(self.check_layer(layer))
        return self.model.blocks[layer].mlp.W_out.shape[0]

    def unembedding(self) -> np.ndarray:
        self._check_unfolded()
        return super().unembedding()

    def final_norm(self) -> Norm:
        self._check_unfolded()
        return super().final_norm()

    def _check_unfolded(self) -> None:
        if getattr(self.model, "compatibility_mode", False):
            raise ValueError(
                "in compatibility mode, the bridge has folded its final norm into the unembedding; take these weights "
                "from a bridge without compatibility mode"
            )


class HookedAdapter(Adapter):
    """A `HookedTransformer`, which has its own forward pass."""

    kind = "transformer_lens"

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = self.module = model
        self.tokenizer = tokenizer
        self.num_layers, self.d_model = model.cfg.n_layers, model.cfg.d_model

    @property
    def config(self) -> dict[str, Any]:
        return dict(vars(self.model.cfg))

    @property
    def name(self) -> str:
        return str(getattr(self.model.cfg, "model_name", "") or "")

    @property
    def max_positions(self) -> int | None:
        return self.model.cfg.n_ctx

    @property
    def vocabulary_size(self) -> int | None:
        return self.model.cfg.d_vocab

    def hook(self, layer: int, site: Site, edit: Edit) -> Hook:
        check_site(site)
        block = self.model.blocks[self.check_layer(layer)]
        if site == "resid":
            return _hook_point(block.hook_resid_post, edit)
        mlp = self._mlp(layer)
        if site == "neurons":
            return _hook_point(mlp.hook_post, edit)
        # TransformerLens' own `hook_mlp_out` is behind the norm that some models have here.
        return Hook(mlp.register_forward_hook(lambda module, given, output: edit(output)).remove)

    def hook_passes(self, before: Callable[[int | None], None]) -> Hook:
        def look(module: Any, given: tuple, named: dict[str, Any]) -> None:
            entry = named.get("past_kv_cache_entry")
            before(None if entry is None else int(entry.past_keys.shape[1]))

        # `generate` calls the model's `forward` directly, where no hook acts. The first layer is called as a module.
        return Hook(self.model.blocks[0].register_forward_pre_hook(look, with_kwargs=True).remove)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        return self.model(input_ids, return_type="logits", prepend_bos=False, attention_mask=attention_mask)

    def project(self, layer: int, neurons: torch.Tensor) -> torch.Tensor:
        import torch

        weight = self._mlp(layer).W_out
        with torch.no_grad():
            return neurons.to(weight) @ weight

    def write(self, layer: int, out: torch.Tensor) -> torch.Tensor:
        import torch

        block = self.model.blocks[self.check_layer(layer)]
        with torch.no_grad():
            return block.ln2_post.forward(out) if hasattr(block, "ln2_post") else out

    def down_projection(self, layer: int) -> np.ndarray:
        return to_numpy(self._mlp(layer).W_out, f"the down-projection of layer {layer}").T

    def d_ff(self, layer: int) -> int:
        return self._mlp(layer).W_out.shape[0]

    def unembedding(self) -> np.ndarray:
        return to_numpy(self.model.W_U, "the unembedding").T

    def final_norm(self) -> Norm:
        norm, config = self.model.ln_final, self.model.cfg
        if config.normalization_type not in NORMS:
            raise ValueError(
                f"the kind of norm {config.normalization_type!r} is not known; known are {', '.join(map(str, NORMS))}"
            )
        weight, bias = getattr(norm, "w", None), getattr(norm, "b", None)
        return Norm(
            kind=NORMS[config.normalization_type],
            weight=None if weight is None else to_numpy(weight, "the final norm"),
            bias=None if bias is None else to_numpy(bias, "the final norm's bias"),
            epsilon=float(config.eps),
        )

    def _mlp(self, layer: int) -> Any:
        mlp = getattr(self.model.blocks[self.check_layer(layer)], "mlp", None)
        if mlp is None or getattr(mlp, "W_out", None) is None:
            raise ValueError(f"layer {layer} has no MLP, or one with experts, so there are no neurons of its own")
        return mlp


def _hook_point(point: Any, edit: Edit) -> Hook:
    """Puts a hook on a hook point. It is permanent, so that `reset_hooks()` in the user's code leaves it in place."""
    point.add_hook(lambda activations, hook: edit(activations), is_permanent=True)
    handle = point.fwd_hooks[-1]

    def remove() -> None:
        handle.hook.remove()
        if handle in point.fwd_hooks:
            point.fwd_hooks.remove(handle)

    return Hook(remove)
