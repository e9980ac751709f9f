"""Weights of a model: from its files, from a model in memory, or from arrays."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from . import _input, _unmix


def weights_of(
    model: Any = None,
    *,
    layer: int | None = None,
    down_projection: Any = None,
    unembedding: Any = None,
    final_norm: Any = None,
    norm: str | None = None,
    epsilon: float | None = None,
    model_type: str | None = None,
    expert: int | None = None,
) -> _unmix.Weights:
    """The weights between neurons and logits.

    Parameters
    ----------
    model : a model of transformers, TransformerLens or nnsight, an adapter of one, or a path or list of paths of safetensors
        files or folders. None if all weights are given as arrays.
    layer : the layer of the activations, from 0.
    down_projection, unembedding, final_norm : arrays [d_model, d_ff], [vocabulary, d_model] and [d_model]; or names of tensors
        in the files of the model.
    norm : kind of the final norm: rms, rms-plus-one, layer, layer-plus-one or none.
    epsilon : of the final norm.
    model_type : type of the model, as in its config.json.
    expert : the expert of the activations, from 0.

    Raises
    ------
    TypeError
        If the model is none of these.
    ValueError
        If neither a model nor arrays are given, or both.
    """
    parts = {"down_projection": down_projection, "unembedding": unembedding, "final_norm": final_norm}
    choice: dict[str, Any] = {
        "layer": layer,
        "expert": expert,
        "norm": norm,
        "epsilon": epsilon,
        "model_type": model_type,
    }
    arrays = {name: part for name, part in parts.items() if part is not None and not isinstance(part, str)}
    names = {name: part if isinstance(part, str) else None for name, part in parts.items()}
    if model is None:
        if "down_projection" not in arrays:
            raise ValueError(
                "model is needed: the model whose activations were factorized (in memory, or a path of its safetensors files); "
                "or down_projection=, unembedding=, final_norm= and norm= as arrays"
            )
        return _of_arrays(arrays, {**choice, **names})
    if arrays:
        raise ValueError(f"{next(iter(arrays))}: the model has it; leave it out, or leave the model out")
    if isinstance(model, (str, os.PathLike)):
        return _unmix.Weights.from_files([os.fspath(model)], {**choice, **names})
    if isinstance(model, (list, tuple)):
        return _unmix.Weights.from_files([os.fspath(path) for path in model], {**choice, **names})
    return _of_model(model, {**choice, **names})


def _of_model(model: Any, choice: dict[str, Any]) -> _unmix.Weights:
    from . import models

    adapter = models.adapt(model)
    if choice["layer"] is not None:
        choice["layer"] = adapter.check_layer(choice["layer"])
    if adapter.kind != "transformer_lens":
        # The table of families knows the names of its tensors, and what lies between them.
        settings = adapter.module.config
        tensors = _of_layer(adapter.module.state_dict().items(), choice["layer"])
        return _unmix.Weights.from_memory(
            type(adapter.module).__name__, list(_memory_of(tensors)), settings.to_json_string(use_diff=False), choice
        )
    if choice["layer"] is None:
        raise ValueError("layer is needed: the number of the layer of the activations, from 0")
    norm = adapter.final_norm()
    arrays = {
        "down_projection": adapter.down_projection(choice["layer"]),
        "unembedding": adapter.unembedding(),
        "final_norm": norm.weight,
        "final_norm_bias": norm.bias,
    }
    given = {
        "norm": choice["norm"] or norm.kind,
        "epsilon": choice["epsilon"] if choice["epsilon"] is not None else norm.epsilon,
    }
    return _of_arrays({name: array for name, array in arrays.items() if array is not None}, {**choice, **given})


def _of_arrays(arrays: dict[str, Any], choice: dict[str, Any]) -> _unmix.Weights:
    """Weights under the names that files without a model's type have."""
    names = {
        "down_projection": "down_proj",
        "unembedding": "unembedding",
        "final_norm": "final_norm",
        "final_norm_bias": "final_norm.bias",
    }
    kind = choice["norm"]
    if kind not in (None, "none") and "final_norm" not in arrays:
        # A norm without weights has weights of one.
        width = (
            np.shape(arrays["unembedding"])[1] if "unembedding" in arrays else np.shape(arrays["down_projection"])[0]
        )
        arrays = {
            **arrays,
            "final_norm": np.zeros(width, np.float32) if "plus-one" in kind else np.ones(width, np.float32),
        }
    tensors = [(names[name], array) for name, array in arrays.items()]
    given = {name: names[name] for name in ("down_projection", "unembedding", "final_norm") if name in arrays}
    choice = {
        **choice,
        **{name: given.get(name) for name in ("down_projection", "unembedding", "final_norm")},
        "norm": kind,
    }
    return _unmix.Weights.from_memory("the arrays", list(_memory_of(tensors)), None, choice)


def _of_layer(tensors: Iterable[tuple[str, Any]], layer: int | None) -> Iterable[tuple[str, Any]]:
    """The weights without those of other layers, which would only be copied from their device.

    Tensors of other numbers than floating-point ones, or without numbers, are no weights.
    """
    for name, tensor in tensors:
        number = re.search(r"\.(\d+)\.", name)
        is_of_layer = layer is None or number is None or int(number[1]) == layer
        if is_of_layer and tensor.is_floating_point() and not tensor.is_meta:
            yield name, tensor


def _memory_of(tensors: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, str, list[int], np.ndarray]]:
    """Name, type, shape and bytes of each tensor. What is in memory as the engine reads it is not copied."""
    for name, tensor in tensors:
        array, element = _input.numbers_of(tensor, name)
        yield name, element, list(array.shape), _input.bytes_of(array)
