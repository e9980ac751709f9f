"""Steering changes what a model predicts as its formula says, also while it generates, and leaves it as it was."""

import numpy as np
import pytest
import unmix
from families import FAMILIES

pytestmark = pytest.mark.models

DENSE = [family for family in FAMILIES if family.parts[0].expert is None and not family.parts[0].arguments]
IDS = [[1, 5, 9, 4, 7, 3]]
NEUTRAL = ["the cat sat on mat", "a dog ran home", "the dog sat", "cat ran on"]


def ids(tokens=IDS):
    import torch

    return torch.tensor(tokens)


def logits(model, tokens=IDS):
    import torch

    with torch.no_grad():
        return model(ids(tokens)).logits


def seen_at(model, site, layer=1, tokens=IDS):
    """The activations at a site, as they are when all hooks have acted."""
    import torch

    block, seen = model.model.layers[layer], []
    if site == "neurons":
        # The product of the module itself is what its hooks leave of its input.
        hook = block.mlp.down_proj.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    else:
        module = block if site == "resid" else block.mlp.down_proj
        hook = module.register_forward_hook(lambda module, given, out: seen.append(out))
    with torch.no_grad():
        model(ids(tokens))
    hook.remove()
    return seen[0][0].numpy()


def unit(fit, feature):
    """What strength 1 of a feature is."""
    return fit.components[feature] * fit.coefficients[:, feature].max()


def test_strength_one_adds_as_much_of_a_feature_as_its_strongest_token_has(tiny_model, tiny_fit):
    before = seen_at(tiny_model, "neurons")
    with tiny_fit.steer(tiny_model, feature=1, strength=2.5, layer=1):
        after = seen_at(tiny_model, "neurons")
    np.testing.assert_allclose(after, before + 2.5 * unit(tiny_fit, 1), rtol=1e-5, atol=1e-6)


def test_several_features_add_up_each_with_its_own_strength(tiny_model, tiny_fit):
    before = seen_at(tiny_model, "neurons")
    with tiny_fit.steer(tiny_model, feature={0: 2.0, 1: -1.0}, strength=0.5, layer=1):
        weighted = seen_at(tiny_model, "neurons")
    with tiny_fit.steer(tiny_model, feature=[0, 1], strength=3.0, sign=-1, layer=1):
        alike = seen_at(tiny_model, "neurons")
    np.testing.assert_allclose(weighted, before + unit(tiny_fit, 0) - 0.5 * unit(tiny_fit, 1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(alike, before - 3.0 * (unit(tiny_fit, 0) + unit(tiny_fit, 1)), rtol=1e-5, atol=1e-6)


def test_ablation_takes_out_what_lies_along_the_features_and_nothing_else(tiny_model, tiny_fit):
    before = seen_at(tiny_model, "neurons").astype(np.float64)
    with tiny_fit.steer(tiny_model, feature=[0, 1], mode="ablate", layer=1):
        after = seen_at(tiny_model, "neurons")
    basis = np.linalg.qr(tiny_fit.components[:2].T.astype(np.float64))[0]
    np.testing.assert_allclose(after, before - before @ basis @ basis.T, atol=1e-5)
    np.testing.assert_allclose(after @ tiny_fit.components[:2].T, 0.0, atol=1e-5)


def test_clamping_puts_the_same_amount_of_a_feature_into_every_token(tiny_model, tiny_fit):
    before = seen_at(tiny_model, "neurons").astype(np.float64)
    with tiny_fit.steer(tiny_model, feature=0, strength=2.0, mode="clamp", layer=1):
        after = seen_at(tiny_model, "neurons")
    direction = tiny_fit.components[0] / np.linalg.norm(tiny_fit.components[0])
    expected = before - np.outer(before @ direction, direction) + 2.0 * unit(tiny_fit, 0)
    np.testing.assert_allclose(after, expected, atol=1e-5)


def test_single_neurons_are_clamped_to_values_and_all_others_stay(tiny_model):
    before = seen_at(tiny_model, "neurons")
    with unmix.steer(tiny_model, neurons={3: 5.0, 30: -2.0, 7: 0.0}, mode="clamp", layer=1):
        after = seen_at(tiny_model, "neurons")
    assert after[:, [3, 30, 7]].tolist() == [[5.0, -2.0, 0.0]] * 6
    others = [neuron for neuron in range(32) if neuron not in (3, 30, 7)]
    assert np.array_equal(after[:, others], before[:, others])


def test_a_direction_of_ones_own_is_its_own_unit_in_either_space(tiny_model):
    random = np.random.default_rng(1)
    for width, site in ((32, "neurons"), (16, "resid")):
        direction = random.standard_normal(width)
        before = seen_at(tiny_model, site)
        with unmix.steer(tiny_model, direction=direction, strength=2.0, layer=1) as steering:
            after = seen_at(tiny_model, site)
        assert steering.site == site
        np.testing.assert_allclose(after, before + 2.0 * direction.astype(np.float32), rtol=1e-5, atol=1e-6)
    with unmix.steer(tiny_model, direction=direction, site="mlp_out", layer=1):
        assert np.abs(seen_at(tiny_model, "mlp_out") - before).max() > 0.1


def test_diff_means_is_the_difference_of_two_means():
    random = np.random.default_rng(0)
    activations = random.standard_normal((9000, 5)).astype(np.float16)
    labels = random.random(9000) < 0.3
    exact = activations.astype(np.float64)
    expected = exact[labels].mean(0) - exact[~labels].mean(0)
    found = unmix.diff_means(activations, labels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match="one label for each row"):
        unmix.diff_means(activations, labels[1:])
    with pytest.raises(ValueError, match="never true"):
        unmix.diff_means(activations, np.zeros(9000, bool))


@pytest.mark.parametrize("family", DENSE, ids=lambda family: family.model_type)
def test_a_feature_does_the_same_at_every_site_unless_a_norm_lies_between(family):
    import models  # of crates/xtask/lens
    import torch

    model = models.make(family, False, False, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.3)
    adapter = unmix.models.adapt(model)
    direction = np.random.default_rng(0).standard_normal(adapter.d_ff(1))
    before = logits(model)
    with unmix.steer(adapter, direction=direction, layer=1, site="neurons"):
        expected = logits(model)
    with unmix.steer(adapter, direction=direction, layer=1, site="mlp_out"):
        torch.testing.assert_close(logits(model), expected, atol=1e-4, rtol=1e-3)
    assert (expected - before).abs().max() > 1e-3
    if family.is_linear and not family.parts[0].post_norms:
        with unmix.steer(adapter, direction=direction, layer=1, site="resid"):
            torch.testing.assert_close(logits(model), expected, atol=1e-4, rtol=1e-3)
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("family", DENSE, ids=lambda family: family.model_type)
def test_generation_with_a_cache_is_steered_as_a_pass_over_the_whole_text(family):
    import models  # of crates/xtask/lens
    import torch

    model = models.make(family, False, False, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.3)
    model.generation_config.eos_token_id = None
    adapter = unmix.models.adapt(model)
    direction = 3.0 * np.random.default_rng(0).standard_normal(adapter.d_ff(1))
    options = {"max_new_tokens": 5, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    with unmix.steer(adapter, direction=direction, layer=1):
        generated = model.generate(ids(), **options)
        whole = logits(model, generated.sequences.tolist())[0, 5:-1]
    torch.testing.assert_close(torch.cat(generated.logits), whole, atol=1e-3, rtol=1e-3)
    assert (whole - logits(model, generated.sequences.tolist())[0, 5:-1]).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["transformers", "hooked", "bridge", "nnsight"])
def test_only_new_tokens_are_steered_if_asked_for(tiny_model, tiny_tokenizer, in_transformer_lens, kind):
    import nnsight
    import torch

    seen = []
    if kind in ("hooked", "bridge"):
        model = in_transformer_lens(kind)
        generate = lambda: model.generate(ids(), max_new_tokens=4, do_sample=False, verbose=False, stop_at_eos=False)  # noqa: E731
    else:
        tiny_model.generation_config.eos_token_id = None
        model = tiny_model if kind == "transformers" else nnsight.LanguageModel(tiny_model, tokenizer=tiny_tokenizer)
        generate = lambda: tiny_model.generate(ids(), max_new_tokens=4, do_sample=False)  # noqa: E731
    steering = unmix.steer(model, neurons={3: 5.0}, mode="clamp", layer=1, positions="new")
    with steering:
        hook = unmix.models.adapt(model).hook_neurons(1, lambda x: seen.append(x.detach().clone()))
        generate()
        hook.remove()
    assert [x.shape[1] for x in seen] == [6, 1, 1, 1]
    assert not torch.any(seen[0][..., 3] == 5.0)
    assert all(x[0, 0, 3] == 5.0 for x in seen[1:])


def test_new_tokens_cannot_be_told_without_a_cache(tiny_model):
    steering = unmix.steer(tiny_model, neurons=3, layer=1, positions="new")
    with steering, pytest.raises(ValueError, match='positions="new" needs the cache of keys and values'):
        tiny_model.generate(ids(), max_new_tokens=2, use_cache=False)


@pytest.mark.parametrize("kind", ["hooked", "bridge", "bridge in compatibility mode"])
def test_models_of_transformer_lens_are_steered_as_those_of_transformers(
    tiny_model, tiny_fit, in_transformer_lens, kind
):
    import torch

    lens_model = in_transformer_lens(kind)
    plain = lens_model(ids())
    for options in (
        {"feature": 0, "strength": 2.0},
        {"feature": [0, 1], "mode": "ablate"},
        {"feature": 0, "site": "resid"},
    ):
        with tiny_fit.steer(tiny_model, layer=1, **options):
            expected = logits(tiny_model)
        with torch.no_grad(), tiny_fit.steer(lens_model, layer=1, **options):
            found = lens_model(ids())
            sampled = lens_model.generate(ids(), max_new_tokens=3, do_sample=False, verbose=False, stop_at_eos=False)
        # Compatibility mode centres the logits of each token.
        found, expected = (x.log_softmax(-1) for x in (found, expected))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        assert sampled[0, 6] == expected[0, -1].argmax()
    assert torch.equal(lens_model(ids()), plain)


def test_steering_acts_inside_of_traces_of_nnsight(tiny_model, tiny_tokenizer, tiny_fit):
    import nnsight
    import torch

    wrapped = nnsight.LanguageModel(tiny_model, tokenizer=tiny_tokenizer)
    tiny_model.generation_config.eos_token_id = None
    with tiny_fit.steer(tiny_model, feature=0, strength=3.0, layer=1):
        expected = logits(tiny_model)
        tokens = tiny_model.generate(ids(), max_new_tokens=4, do_sample=False)
    with torch.no_grad(), tiny_fit.steer(wrapped, feature=0, strength=3.0, layer=1):
        with wrapped.trace(ids()):
            traced = wrapped.lm_head.output.save()
        with wrapped.generate(ids(), max_new_tokens=4, do_sample=False):
            generated = wrapped.generator.output.save()
    assert torch.equal(traced, expected)
    assert torch.equal(generated, tokens)


def test_the_model_is_as_it_was_also_after_an_exception(tiny_model, tiny_fit):
    import torch

    weights = {name: weight.clone() for name, weight in tiny_model.state_dict().items()}
    before = logits(tiny_model)
    with pytest.raises(KeyError), tiny_fit.steer(tiny_model, feature=0, layer=1, positions="new"):
        raise KeyError("of the user")
    with pytest.raises(IndexError), tiny_fit.steer(tiny_model, feature=0, layer=1):
        tiny_model(ids([[9999]]))
    assert torch.equal(logits(tiny_model), before)
    assert all(torch.equal(weight, weights[name]) for name, weight in tiny_model.state_dict().items())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in tiny_model.modules())


def test_steering_is_applied_and_removed_without_a_block(tiny_model, tiny_fit):
    import torch

    before = logits(tiny_model)
    steering = tiny_fit.steer(tiny_model, feature=0, layer=1)
    assert torch.equal(logits(tiny_model), before)
    assert steering.apply() is steering
    assert not torch.equal(logits(tiny_model), before)
    with pytest.raises(RuntimeError, match="acts already"):
        steering.apply()
    steering.remove()
    steering.remove()
    assert torch.equal(logits(tiny_model), before)


def test_two_features_in_nested_blocks_act_as_both_together(tiny_model, tiny_fit):
    import torch

    before = logits(tiny_model)
    with tiny_fit.steer(tiny_model, feature=[0, 1], layer=1):
        both = logits(tiny_model)
    with tiny_fit.steer(tiny_model, feature=0, layer=1):
        one = logits(tiny_model)
        with tiny_fit.steer(tiny_model, feature=1, layer=1):
            torch.testing.assert_close(logits(tiny_model), both, atol=1e-5, rtol=1e-5)
        assert torch.equal(logits(tiny_model), one)
    assert torch.equal(logits(tiny_model), before)


def test_steering_inside_of_another_one_is_made_without_its_influence(tiny_model, tiny_fit):
    alone = tiny_fit.steer(tiny_model, feature=0, layer=1, site="resid").vectors
    with unmix.steer(tiny_model, neurons={1: 100.0}, layer=1, mode="clamp"):
        assert np.array_equal(tiny_fit.steer(tiny_model, feature=0, layer=1, site="resid").vectors, alone)


@pytest.mark.parametrize("target", [0.001, 0.05, 0.3])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_strength_is_found_that_has_the_divergence(tiny_model, tiny_tokenizer, tiny_fit, target, sign):
    import torch

    steering = tiny_fit.steer(
        tiny_model, feature=0, kl=target, neutral=NEUTRAL, sign=sign, layer=1, tokenizer=tiny_tokenizer, positions="new"
    )
    assert np.sign(steering.strength) == sign
    assert steering.kl == pytest.approx(target, rel=0.021)
    # The divergence by its definition, text by text.
    total, count = 0.0, 0
    for text in NEUTRAL:
        tokens = [[1, *tiny_tokenizer(text).input_ids]]
        before = logits(tiny_model, tokens).double().log_softmax(-1)
        with tiny_fit.steer(tiny_model, feature=0, strength=steering.strength, layer=1):
            after = logits(tiny_model, tokens).double().log_softmax(-1)
        divergences = (before.exp() * (before - after)).sum(-1)[0, 1:]
        total, count = total + float(divergences.sum()), count + len(divergences)
    assert steering.kl == pytest.approx(total / count, rel=1e-3)
    assert torch.isfinite(logits(tiny_model)).all()


def test_the_tokenizer_for_a_divergence_is_found_under_the_name_of_the_model(
    tiny_model, tiny_tokenizer, tiny_fit, tmp_path
):
    from transformers import AutoModelForCausalLM

    tiny_model.save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    options = {"feature": 0, "kl": 0.05, "neutral": NEUTRAL, "layer": 1}
    with pytest.raises(ValueError, match="kl needs the tokenizer of the model; give it with tokenizer="):
        tiny_fit.steer(model, **options)
    tiny_tokenizer.save_pretrained(tmp_path)
    given = tiny_fit.steer(model, tokenizer=tiny_tokenizer, **options)
    assert tiny_fit.steer(model, **options).strength == given.strength


def test_a_divergence_that_no_strength_has_is_an_error_that_says_the_largest(tiny_model, tiny_tokenizer, tiny_fit):
    with pytest.raises(
        ValueError,
        match=r"no strength gives a divergence of 500 nats a token; .*, the largest divergence was \d",
    ):
        tiny_fit.steer(tiny_model, feature=0, kl=500.0, neutral=NEUTRAL, layer=1, tokenizer=tiny_tokenizer)


def test_the_search_for_a_strength_copes_with_other_curves():
    from unmix._divergence import find_strength

    for curve in (
        lambda a: a**2,
        lambda a: 1e-7 * a,
        lambda a: min(a**4, 3.0),
        lambda a: 1e9 * a**2,
        lambda a: float("nan") if a > 2 else a,
    ):
        strength, found = find_strength(curve, 0.5)
        assert found == curve(strength) == pytest.approx(0.5, rel=0.021)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature": 3}, "there is no feature 3: the fit has 3 features; give 0 to 2"),
        ({"feature": []}, "feature is empty"),
        ({"feature": 0, "neurons": 1}, "give one of feature, neurons and direction"),
        ({}, "give one of feature, neurons and direction"),
        ({"neurons": 32}, "there is no neuron 32: the layer has 32 neurons; give 0 to 31"),
        (
            {"direction": [1.0, 2.0]},
            "the direction has 2 numbers, but layer 1 has 32 neurons and a residual stream of width 16",
        ),
        ({"direction": np.zeros(32)}, "the direction is zero"),
        ({"direction": np.full(32, np.nan)}, "not finite"),
        ({"direction": np.ones(16), "site": "neurons"}, "is one of 'resid', which comes after 'neurons'"),
        ({"feature": 0, "layer": None}, "the layer is not known; give layer="),
        ({"feature": 0, "layer": 2}, "there is no layer 2"),
        ({"feature": 0, "mode": "remove"}, "mode is 'remove'"),
        ({"feature": 0, "positions": "last"}, "positions is 'last'"),
        ({"feature": 0, "strength": float("inf")}, "strength is inf; give a finite number"),
        ({"feature": 0, "kl": 0.1}, "kl needs neutral texts"),
        ({"feature": 0, "kl": -0.1, "neutral": NEUTRAL}, "kl is -0.1; give a divergence above 0"),
        ({"feature": 0, "kl": 0.1, "strength": 1.0, "neutral": NEUTRAL}, "give strength or kl, not both"),
        ({"feature": 0, "kl": 0.1, "mode": "clamp", "neutral": NEUTRAL}, 'kl finds the strength of mode="add"'),
        ({"feature": 0, "kl": 0.1, "neutral": NEUTRAL}, "kl needs the tokenizer of the model"),
        ({"feature": 0, "neutral": NEUTRAL}, "neutral is for kl"),
        ({"feature": 0, "mode": "ablate", "strength": 3.0}, "has no strength; leave strength out"),
        ({"neurons": {5: 1e38}, "strength": 1e10}, "is not a finite number in float32"),
        ({"neurons": {5: 1e300}}, "too large for float32"),
    ],
)
def test_options_that_cannot_be_are_refused(tiny_model, tiny_fit, options, message):
    with pytest.raises(ValueError, match=message):
        tiny_fit.steer(tiny_model, **{"layer": 1, **options})


@pytest.mark.parametrize("neutral", [[], [""]])
def test_neutral_texts_without_tokens_are_refused(tiny_model, tiny_tokenizer, tiny_fit, neutral):
    with pytest.raises(ValueError, match="neutral has no tokens"):
        tiny_fit.steer(tiny_model, feature=0, kl=0.1, neutral=neutral, layer=1, tokenizer=tiny_tokenizer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature": 0, "strength": "3"}, "strength is '3'; give a number"),
        ({"feature": 0, "kl": "3", "neutral": NEUTRAL}, "kl is '3'; give a number"),
        ({"feature": {0: "3"}}, "feature 0 has the strength '3'; give a number"),
    ],
)
def test_strengths_that_are_no_numbers_are_refused(tiny_model, tiny_fit, options, message):
    with pytest.raises(TypeError, match=message):
        tiny_fit.steer(tiny_model, layer=1, **options)


def test_a_strength_beyond_the_numbers_of_the_model_is_refused(tiny_model):
    import torch

    model = tiny_model.to(torch.float16)
    before = logits(model)
    with (
        pytest.raises(ValueError, match="1e.07 times the directions is not a finite number in float16"),
        unmix.steer(model, neurons=5, strength=1e7, layer=1),
    ):
        logits(model)
    torch.testing.assert_close(logits(model), before, rtol=0, atol=0)


def test_another_layer_than_that_of_the_activations_is_told(tiny_model, tiny_tokenizer, tmp_path):
    texts = [f"the cat sat on mat word{number}" for number in range(20)]
    acts = unmix.collect(tiny_model, tiny_tokenizer, texts, 1, tmp_path / "acts", progress=False)
    fit = unmix.fit(acts[1], n_components=2, device="cpu")
    feature = int(fit.coefficients.max(0).argmax())
    with pytest.warns(UserWarning, match="activations of layer 1, but layer=0 was given"):
        fit.steer(tiny_model, feature, layer=0)


@pytest.mark.parametrize(
    ("activations", "labels", "message"),
    [
        (np.eye(3), [np.nan, 0, 1], "labels: the one of row 0 is nan"),
        (np.eye(3), ["no", "yes", "no"], "labels: the one of row 0 is 'no'"),
        (np.full((3, 2), np.nan), [True, False, True], "activations have numbers that are not finite"),
    ],
)
def test_a_difference_of_means_needs_labels_and_numbers_that_are_some(activations, labels, message):
    with pytest.raises(ValueError, match=message):
        unmix.diff_means(activations, labels)


def test_a_dead_feature_is_refused(tiny_model):
    from types import SimpleNamespace

    dead = SimpleNamespace(components=np.ones((1, 32)), coefficients=np.zeros((4, 1)), run={})
    with pytest.raises(ValueError, match="feature 0 is dead: no token uses it"):
        unmix.steer(tiny_model, fit=dead, feature=0, layer=1)


def test_half_precision_models_are_steered_in_their_own_type(tiny_model, tiny_fit):
    import torch

    model = tiny_model.to(torch.bfloat16)
    for mode in ("add", "ablate", "clamp"):
        with tiny_fit.steer(model, feature=0, layer=1, mode=mode):
            assert logits(model).dtype == torch.bfloat16


def test_a_fit_of_collected_activations_knows_its_layer_and_site(tiny_model, tiny_tokenizer, tmp_path):
    for site in ("neurons", "resid"):
        texts = [f"the cat sat on mat a dog ran home word{number}" for number in range(40)]
        acts = unmix.collect(
            tiny_model, tiny_tokenizer, texts, [0, 1], tmp_path / site, site=site, max_length=32, progress=False
        )
        fit = unmix.fit(acts[1], n_components=4, device="cpu")
        feature = int(fit.coefficients.max(0).argmax())
        fit.save(tmp_path / f"fit-{site}")
        for known in (fit, unmix.load(tmp_path / f"fit-{site}")):
            with known.steer(tiny_model, feature) as steering:
                assert (steering.layer, steering.site) == (1, site)


@pytest.mark.parametrize("family", ["llama", "gemma2", "granite"])
def test_in_the_residual_stream_strength_one_is_that_of_the_exported_script(family, tiny_tokenizer, command, tmp_path):
    import subprocess

    import models  # of crates/xtask/lens
    from safetensors.numpy import load_file

    model = models.make(next(known for known in FAMILIES if known.model_type == family), False, False, seed=0)
    model.save_pretrained(tmp_path / "model")
    texts = ["the cat sat on mat", "a dog ran home", "dog the on word1 word2", "word3 cat mat word5"]
    acts = unmix.collect(
        model, tiny_tokenizer, texts, 1, tmp_path / "acts", max_length=16, dtype="float32", progress=False
    )
    arguments = ["--rank", "3", "--out", tmp_path / "fit", "--engine", "cpu", "--quiet"]
    subprocess.run([command, "fit", acts.path / "layer-1", *arguments], check=True)
    export = ["export", tmp_path / "fit", "--to", "steering", "--model", tmp_path / "model", "--layer", "1"]
    subprocess.run([command, *export, "--out", tmp_path / "export", "--quiet"], check=True)
    script = load_file(tmp_path / "export/steering.safetensors")
    fit = unmix.load(tmp_path / "fit")
    alive = np.flatnonzero(script["strength_units"])
    assert len(alive)
    for feature in alive.tolist():
        steering = unmix.steer(model, fit=fit, feature=feature, site="resid")
        expected = script["strength_units"][feature] * script["unit_directions"][feature]
        np.testing.assert_allclose(steering.vectors[0], expected, rtol=1e-3, atol=1e-3 * abs(expected).max())
