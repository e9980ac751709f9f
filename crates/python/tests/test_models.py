"""Adapters find layers, hooks and weights of models of every known type, in every library."""

import functools
import json

import numpy as np
import pytest
import unmix
from families import FAMILIES
from unmix import _unmix

pytestmark = pytest.mark.models

DENSE = [family for family in FAMILIES if family.parts[0].expert is None and not family.parts[0].arguments]
ROUTED = [family for family in FAMILIES if family not in DENSE]
IDS = [[1, 5, 9, 4, 7, 3]]


def name(family):
    return family.model_type


def at(module, path):
    return functools.reduce(getattr, path.split("."), module)


def made(family, tied=True, square=False):
    import models  # of crates/xtask/lens
    import torch

    model = models.make(family, tied, square, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.3)
    return model


@pytest.fixture(params=["hooked", "bridge", "bridge in compatibility mode"])
def lens_model(request, in_transformer_lens):
    """The tiny model as TransformerLens has it."""
    return in_transformer_lens(request.param)


def test_every_type_of_the_logit_lens_is_known_to_the_adapters_and_tested_here():
    tested = {family.model_type for family in FAMILIES}
    known = _unmix.model_types()
    assert len(known) > 60
    # A type of models that see has another one for the text model inside.
    assert all({kind, kind.removesuffix("_text"), f"{kind}_text"} & tested for kind in known)
    assert all(_unmix.model_family(kind) for kind in known)
    assert _unmix.model_family("of-tomorrow") is None


@pytest.mark.parametrize("family", DENSE, ids=name)
def test_hooks_see_and_change_what_passes_the_modules_of_a_layer(family):
    import torch

    model = made(family)
    adapter = unmix.models.adapt(model)
    layer = model.get_submodule(family.layers)[1]
    module = layer.get_submodule(family.parts[0].module)
    seen, expected = {}, {}
    module.register_forward_hook(lambda m, given, out: expected.update(neurons=given[0], mlp_out=out))
    layer.register_forward_hook(lambda m, given, out: expected.update(resid=out[0] if isinstance(out, tuple) else out))
    sites = ["neurons", "mlp_out"] if family.model_type == "gemma3n_text" else ["neurons", "mlp_out", "resid"]
    with torch.no_grad():
        before = model(input_ids=torch.tensor(IDS)).logits
        for site in sites:
            hook = adapter.hook(1, site, lambda x, site=site: seen.update({site: x}))
            assert torch.equal(model(input_ids=torch.tensor(IDS)).logits, before)
            hook.remove()
            assert torch.equal(seen[site], expected[site])
            assert seen[site].shape[-1] == adapter.width(1, site)
            hook = adapter.hook(1, site, lambda x: x + torch.linspace(-1.0, 1.0, x.shape[-1]))
            assert not torch.allclose(model(input_ids=torch.tensor(IDS)).logits, before, atol=1e-4)
            hook.remove()
        assert torch.equal(model(input_ids=torch.tensor(IDS)).logits, before)


@pytest.mark.parametrize("square", [False, True], ids=["", "square"])
@pytest.mark.parametrize("family", DENSE, ids=name)
def test_weights_are_those_of_the_model(family, square):
    import torch

    model = made(family, square=square)
    adapter = unmix.models.adapt(model)
    module = model.get_submodule(family.layers)[1].get_submodule(family.parts[0].module)
    weight = adapter.down_projection(1)
    neurons = torch.randn(3, weight.shape[1])
    expected = (module(neurons) - module(torch.zeros_like(neurons))).detach().numpy()
    assert weight.shape == (adapter.d_model, adapter.d_ff(1))
    np.testing.assert_allclose(neurons.numpy() @ weight.T, expected, atol=1e-5)
    np.testing.assert_allclose(adapter.project(1, neurons).numpy(), expected, atol=1e-5)
    assert np.array_equal(adapter.unembedding(), model.get_output_embeddings().weight.detach().numpy())
    norm, final = adapter.final_norm(), model.get_submodule(family.final_norm)
    if norm.weight is not None:
        assert np.array_equal(norm.weight, final.weight.detach().numpy())
    x = torch.randn(2, adapter.d_model)
    np.testing.assert_allclose(normed(norm, x.numpy().astype(np.float64)), final(x).detach().numpy(), atol=1e-4)


def normed(norm, x):
    """A norm by its formula."""
    weight = 1.0 if norm.weight is None else norm.weight + (1.0 if "plus-one" in norm.kind else 0.0)
    if norm.kind.startswith("layer"):
        x = x - x.mean(1, keepdims=True)
    x = x / np.sqrt((x**2).mean(1, keepdims=True) + norm.epsilon)
    return x * weight + (0.0 if norm.bias is None else norm.bias)


@pytest.mark.parametrize("family", [family for family in DENSE if family.is_linear], ids=name)
def test_what_a_layer_writes_is_what_it_adds_to_the_residual_stream(family):
    import torch

    model = made(family)
    adapter = unmix.models.adapt(model)
    if family.parts[0].post_norms:
        # The norm divides by all that the layer writes, so the difference of two passes would say nothing.
        out = adapter.project(1, torch.randn(2, adapter.d_ff(1)))
        layer = model.get_submodule(family.layers)[1]
        expected = out
        for post_norm in family.parts[0].post_norms:
            expected = layer.get_submodule(post_norm)(expected)
        assert torch.equal(adapter.write(1, out), expected)
        return
    neurons = torch.randn(1, adapter.d_ff(1))
    written = adapter.write(1, adapter.project(1, neurons))
    streams = []
    adapter.hook_residual(1, lambda x: streams.append(x.detach()))
    ids = torch.tensor(IDS)
    for factor in (0.0, 1.0):
        hook = adapter.hook_neurons(1, lambda x, factor=factor: torch.zeros_like(x) + factor * neurons)
        with torch.no_grad():
            model(input_ids=ids)
        hook.remove()
    added = (streams[1] - streams[0]).reshape(-1, adapter.d_model)
    torch.testing.assert_close(added, written.expand_as(added), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ROUTED, ids=name)
def test_layers_with_experts_are_refused_with_advice(family):
    adapter = unmix.models.adapt(made(family))
    with pytest.raises(ValueError, match="layer 1 has experts"):
        adapter.hook_neurons(1, lambda x: None)
    shared = [part for part in family.parts if part.expert is None]
    if shared:
        path = f"{family.layers}.{{layer}}.{shared[0].module}"
        with pytest.raises(ValueError, match="down_proj=") as refused:
            adapter.hook_neurons(1, lambda x: None)
        assert path in str(refused.value)
        assert unmix.models.adapt(adapter.module, down_proj=path).down_projection(1).shape[0] == adapter.d_model


def test_a_path_of_modules_is_enough_for_a_model_of_unknown_type(tiny_model):
    tiny_model.config.model_type = "of-tomorrow"
    with pytest.raises(ValueError, match=r"does not know models of type 'of-tomorrow'.*down_proj="):
        unmix.models.adapt(tiny_model)
    adapter = unmix.models.adapt(tiny_model, down_proj="model.layers.{layer}.mlp.down_proj")
    assert (adapter.num_layers, adapter.d_ff(0)) == (2, 32)
    with pytest.raises(ValueError, match=r"no layers at model\.stack"):
        unmix.models.adapt(tiny_model, down_proj="model.stack.{layer}.mlp.down_proj")
    with pytest.raises(ValueError, match=r"no module model\.layers\.1\.mlp\.fc"):
        unmix.models.adapt(tiny_model, down_proj="model.layers.{layer}.mlp.fc").down_projection(1)
    with pytest.raises(ValueError, match=r"\{layer\} where the number of the layer stands"):
        unmix.models.adapt(tiny_model, down_proj="model.layers.0.mlp.down_proj")


def test_other_objects_are_refused():
    with pytest.raises(TypeError, match=r"list is no model that unmix knows.*AutoModelForCausalLM"):
        unmix.models.adapt([])


def test_a_layer_that_is_not_there_is_named(tiny_model):
    adapter = unmix.models.adapt(tiny_model)
    with pytest.raises(ValueError, match="no layer 2: the model has 2 layers; give 0 to 1"):
        adapter.hook_neurons(2, lambda x: None)
    with pytest.raises(ValueError, match="unknown site 'attention'"):
        adapter.hook(0, "attention", lambda x: None)


def test_a_compiled_model_is_refused(tiny_model):
    import torch

    with pytest.raises(ValueError, match=r"before torch\.compile"):
        unmix.models.adapt(torch.compile(tiny_model))


def test_models_are_told_apart_by_their_weights(tiny_model):
    import torch

    before = unmix.models.adapt(tiny_model).describe()
    assert json.loads(json.dumps(before)) == before
    assert unmix.models.adapt(tiny_model).describe() == before
    with torch.no_grad():
        tiny_model.model.layers[0].mlp.up_proj.weight[0, 0] += 1.0
    after = unmix.models.adapt(tiny_model).describe()
    assert after["config_sha256"] == before["config_sha256"]
    assert after["weights_sha256"] != before["weights_sha256"]


def test_a_model_of_transformer_lens_has_the_activations_of_transformers(lens_model, tiny_model):
    import torch

    ids = torch.tensor(IDS)
    ours, plain = unmix.models.adapt(lens_model), unmix.models.adapt(tiny_model)
    assert (ours.kind, ours.num_layers, ours.d_model) == ("transformer_lens", 2, 16)
    for site in ("neurons", "mlp_out", "resid"):
        seen = []
        for adapter in (ours, plain):
            hook = adapter.hook(1, site, lambda x, seen=seen: seen.append(x.detach()))
            with torch.no_grad():
                adapter.forward(ids)
            hook.remove()
        torch.testing.assert_close(seen[0], seen[1], atol=1e-5, rtol=1e-5)


def test_hooks_in_a_model_of_transformer_lens_change_its_predictions_and_come_out_again(lens_model):
    import torch

    ids = torch.tensor(IDS)
    adapter = unmix.models.adapt(lens_model)
    with torch.no_grad():
        before = lens_model(ids)
        for site in ("neurons", "mlp_out", "resid"):
            hook = adapter.hook(1, site, lambda x: x + torch.linspace(-1.0, 1.0, x.shape[-1]))
            lens_model.reset_hooks()
            assert not torch.allclose(lens_model(ids), before, atol=1e-4)
            hook.remove()
        assert torch.equal(lens_model(ids), before)


def test_weights_of_transformer_lens_are_those_of_transformers(tiny_model, in_transformer_lens):
    plain = unmix.models.adapt(tiny_model)
    for kind in ("hooked", "bridge"):
        ours = unmix.models.adapt(in_transformer_lens(kind))
        np.testing.assert_allclose(ours.down_projection(1), plain.down_projection(1), atol=1e-6)
        np.testing.assert_allclose(ours.unembedding(), plain.unembedding(), atol=1e-6)
        np.testing.assert_allclose(ours.final_norm().weight, plain.final_norm().weight, atol=1e-6)
        assert ours.final_norm().kind == plain.final_norm().kind


def test_a_bridge_in_compatibility_mode_says_that_its_norm_is_folded(in_transformer_lens):
    bridge = in_transformer_lens("bridge in compatibility mode")
    with pytest.raises(ValueError, match="compatibility mode"):
        unmix.models.adapt(bridge).final_norm()


def test_a_model_of_nnsight_is_the_model_of_transformers_inside(tiny_model, tiny_tokenizer):
    import nnsight
    import torch

    wrapped = nnsight.LanguageModel(tiny_model, tokenizer=tiny_tokenizer)
    adapter = unmix.models.adapt(wrapped)
    assert adapter.kind == "nnsight"
    assert adapter.module is tiny_model
    assert adapter.tokenizer is tiny_tokenizer
    ids = torch.tensor(IDS)
    with torch.no_grad():
        before = tiny_model(ids).logits
        hook = adapter.hook_neurons(1, lambda x: x * 0.5)
        changed = tiny_model(ids).logits
        with wrapped.trace(ids):
            traced = wrapped.lm_head.output.save()
        hook.remove()
    assert not torch.allclose(changed, before, atol=1e-4)
    assert torch.equal(traced, changed)
