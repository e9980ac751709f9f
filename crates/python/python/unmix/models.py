"""Language models of transformers, TransformerLens and nnsight behind one interface."""

from __future__ import annotations

from typing import Any

from ._adapter import SITES, Adapter, Edit, Hook, Norm, Site

__all__ = ["SITES", "Adapter", "Edit", "Hook", "Norm", "Site", "adapt"]


def adapt(model: Any, tokenizer: Any = None, *, down_proj: str | None = None) -> Adapter:
    """Puts one interface around a language model.

    Parameters
    ----------
    model : object
        A model of transformers (``AutoModelForCausalLM``), a ``HookedTransformer`` or ``TransformerBridge`` of
        TransformerLens, or a model of nnsight. An `Adapter` is returned as it is.
    tokenizer : object, optional
        By default the tokenizer that the model of TransformerLens or nnsight has.
    down_proj : str, optional
        Path of the module whose input are the neurons, with ``{layer}`` for the number of the layer:
        ``"model.layers.{layer}.mlp.shared_expert.down_proj"``. By default it follows from the model's type, for all
        types that ``unmix lens`` knows. Only for models of transformers and nnsight.

    Returns
    -------
    Adapter

    Raises
    ------
    TypeError
        If `model` is of none of these libraries.
    ValueError
        If the type of the model is not known, or it has no module at `down_proj`.

    Examples
    --------
    >>> adapter = unmix.models.adapt(model, tokenizer)
    >>> adapter
    <transformers model LlamaForCausalLM: 2 layers, d_model 16>
    >>> adapter.down_projection(1).shape
    (16, 32)
    >>> adapter.unembedding().shape
    (64, 16)
    >>> adapter.final_norm().kind
    'rms'
    """
    if isinstance(model, Adapter):
        return model
    library = next((base.__module__.partition(".")[0] for base in type(model).__mro__ if _is_of_a_library(base)), None)
    if library == "transformer_lens":
        from ._transformer_lens import adapt_transformer_lens

        if down_proj is not None:
            raise ValueError("down_proj is for models of transformers and nnsight; TransformerLens names its own hooks")
        return adapt_transformer_lens(model, tokenizer)
    from ._transformers import TransformersAdapter, unwrap_nnsight

    if library == "nnsight":
        return TransformersAdapter(
            model, unwrap_nnsight(model), tokenizer or getattr(model, "tokenizer", None), "nnsight", down_proj
        )
    if hasattr(model, "config") and hasattr(model, "named_modules"):
        return TransformersAdapter(model, model, tokenizer, "transformers", down_proj)
    raise TypeError(
        f"{type(model).__name__} is no model that unmix knows; give a model of transformers (AutoModelForCausalLM), "
        "TransformerLens (HookedTransformer, TransformerBridge) or nnsight"
    )


def _is_of_a_library(base: type) -> bool:
    return base.__module__.partition(".")[0] in ("transformer_lens", "nnsight")
